# Finds LibTorch and defines tfd::torch.
#
# Debian's libtorch-dev 1.13 is found by default; a pip-installed torch 2.x when
# CMAKE_PREFIX_PATH names its `torch` folder. LibTorch's own TorchConfig.cmake is
# not used: Debian's insists on packages that linking does not need, and pip's
# insists on a CUDA toolkit.
#
# A pip torch brings Protobuf headers of another version: its include folder is
# seen through a folder of links that leaves them out.

find_path(TfdTorch_INCLUDE_DIR torch/script.h)
find_library(TfdTorch_torch_LIBRARY torch)
find_library(TfdTorch_torch_cpu_LIBRARY torch_cpu)
find_library(TfdTorch_c10_LIBRARY c10)
find_library(TfdTorch_torch_cuda_LIBRARY torch_cuda)
find_library(TfdTorch_c10_cuda_LIBRARY c10_cuda)
mark_as_advanced(TfdTorch_torch_cuda_LIBRARY TfdTorch_c10_cuda_LIBRARY)

set(_version_file "${TfdTorch_INCLUDE_DIR}/torch/version.h")
if(NOT EXISTS "${_version_file}")
  set(_version_file
      "${TfdTorch_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h")
endif()
if(EXISTS "${_version_file}")
  file(STRINGS "${_version_file}" _lines
       REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9;]" "" _lines "${_lines}")
  list(JOIN _lines "." TfdTorch_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(TfdTorch
  REQUIRED_VARS TfdTorch_torch_LIBRARY TfdTorch_torch_cpu_LIBRARY
                TfdTorch_c10_LIBRARY TfdTorch_INCLUDE_DIR
  VERSION_VAR TfdTorch_VERSION
  REASON_FAILURE_MESSAGE
  "run scripts/setup, or set CMAKE_PREFIX_PATH to a pip-installed torch, or \
configure with -DTFD_BUILD_WORKER=OFF to leave LibTorch out.")

if(NOT TfdTorch_FOUND OR TARGET tfd::torch)
  return()
endif()

set(_include "${TfdTorch_INCLUDE_DIR}")
if(EXISTS "${_include}/google/protobuf" AND NOT _include MATCHES "^/usr/")
  file(GLOB _entries RELATIVE "${_include}" "${_include}/*")
  list(REMOVE_ITEM _entries google)
  foreach(_entry IN LISTS _entries)
    file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/torch-include")
    file(CREATE_LINK "${_include}/${_entry}"
         "${CMAKE_BINARY_DIR}/torch-include/${_entry}" SYMBOLIC)
  endforeach()
  set(_include "${CMAKE_BINARY_DIR}/torch-include")
endif()

set(_libraries "")
foreach(_lib torch torch_cpu c10 torch_cuda c10_cuda)
  if(NOT TfdTorch_${_lib}_LIBRARY)
    continue()
  endif()
  add_library(tfd_torch_${_lib} SHARED IMPORTED)
  set_target_properties(tfd_torch_${_lib} PROPERTIES
    IMPORTED_LOCATION "${TfdTorch_${_lib}_LIBRARY}")
  list(APPEND _libraries tfd_torch_${_lib})
endforeach()

# --no-as-needed: operators and devices register themselves when the libraries
# are loaded, and no symbol of ours would keep them.
add_library(tfd::torch INTERFACE IMPORTED)
target_include_directories(tfd::torch SYSTEM INTERFACE
  "${_include}" "${_include}/torch/csrc/api/include")
target_link_libraries(tfd::torch INTERFACE
  -Wl,--no-as-needed ${_libraries} -Wl,--as-needed Threads::Threads)
