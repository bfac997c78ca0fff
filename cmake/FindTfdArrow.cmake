# Finds Arrow C++ 22 with Parquet and defines tfd::arrow and tfd::parquet.
#
# An installed Arrow (with an ArrowConfig.cmake) is preferred. Else the libraries
# inside the pyarrow 22.0.0 wheel are used: PyArrow_ROOT is the wheel's `pyarrow`
# folder; scripts/setup puts one into tfd's cache folder, which is looked at too.
# (From 23.0.1 on Arrow's headers need C++20.)
#
# The wheel's libparquet exports an OpenSSL of its own. Wherever it is linked,
# Debian's libssl and libcrypto must come first, or gRPC's TLS binds to a mixture
# of the two: hence a link option, which stands before all libraries. (Among them
# CMake would put it behind libparquet where both are reached by several ways.)

find_package(OpenSSL REQUIRED)
find_package(Arrow 22 CONFIG QUIET)
find_package(Parquet 22 CONFIG QUIET)
if(Arrow_FOUND AND Parquet_FOUND)
  set(TfdArrow_VERSION "${Arrow_VERSION}")
  set(TfdArrow_LOCATION "${Arrow_DIR}")
else()
  set(_cache "$ENV{TFD_CACHE_DIR}")
  if(NOT _cache AND DEFINED ENV{XDG_CACHE_HOME})
    set(_cache "$ENV{XDG_CACHE_HOME}/tfd")
  endif()
  if(NOT _cache)
    set(_cache "$ENV{HOME}/.cache/tfd")
  endif()
  find_path(TfdArrow_LOCATION include/arrow/api.h
    HINTS "${PyArrow_ROOT}" ENV PyArrow_ROOT "${_cache}/pyarrow-22.0.0/pyarrow"
    NO_DEFAULT_PATH)
  if(TfdArrow_LOCATION AND EXISTS
     "${TfdArrow_LOCATION}/include/arrow/util/config.h")
    file(STRINGS "${TfdArrow_LOCATION}/include/arrow/util/config.h" _version
         REGEX "define ARROW_VERSION_STRING")
    string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" TfdArrow_VERSION "${_version}")
  endif()
  string(REGEX MATCH "^[0-9]+" _major "${TfdArrow_VERSION}")
  set(TfdArrow_arrow_LIBRARY "${TfdArrow_LOCATION}/libarrow.so.${_major}00")
  set(TfdArrow_parquet_LIBRARY "${TfdArrow_LOCATION}/libparquet.so.${_major}00")
  if(NOT EXISTS "${TfdArrow_arrow_LIBRARY}")
    unset(TfdArrow_arrow_LIBRARY)
  endif()
endif()

include(FindPackageHandleStandardArgs)
if(Arrow_FOUND AND Parquet_FOUND)
  find_package_handle_standard_args(TfdArrow
    REQUIRED_VARS TfdArrow_LOCATION VERSION_VAR TfdArrow_VERSION)
else()
  find_package_handle_standard_args(TfdArrow
    REQUIRED_VARS TfdArrow_LOCATION TfdArrow_arrow_LIBRARY
    VERSION_VAR TfdArrow_VERSION
    REASON_FAILURE_MESSAGE
    "no Arrow C++ 22 is installed, and no pyarrow 22.0.0 wheel is in PyArrow_ROOT \
or tfd's cache folder: run scripts/setup, or configure with -DTFD_BUILD_DATA=OFF \
-DTFD_BUILD_WORKER=OFF to leave it out.")
endif()

if(NOT TfdArrow_FOUND OR TARGET tfd::arrow)
  return()
endif()

add_library(tfd::arrow INTERFACE IMPORTED)
add_library(tfd::parquet INTERFACE IMPORTED)
if(Arrow_FOUND AND Parquet_FOUND)
  target_link_libraries(tfd::arrow INTERFACE Arrow::arrow_shared)
  target_link_libraries(tfd::parquet INTERFACE Parquet::parquet_shared tfd::arrow)
else()
  add_library(tfd_openssl_first INTERFACE IMPORTED)
  target_link_options(tfd_openssl_first INTERFACE
    "-Wl,--push-state,--no-as-needed,${OPENSSL_SSL_LIBRARY},${OPENSSL_CRYPTO_LIBRARY},--pop-state")
  foreach(_lib arrow parquet)
    add_library(tfd_pyarrow_${_lib} SHARED IMPORTED)
    set_target_properties(tfd_pyarrow_${_lib} PROPERTIES
      IMPORTED_LOCATION "${TfdArrow_${_lib}_LIBRARY}"
      IMPORTED_SONAME "lib${_lib}.so.${_major}00"
      INTERFACE_INCLUDE_DIRECTORIES "${TfdArrow_LOCATION}/include")
  endforeach()
  target_link_libraries(tfd::arrow INTERFACE tfd_openssl_first tfd_pyarrow_arrow)
  target_link_libraries(tfd::parquet INTERFACE
    tfd_openssl_first tfd_pyarrow_parquet tfd::arrow)
endif()
