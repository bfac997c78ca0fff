# How everything of ours is compiled: the language, warnings, optimisation,
# sanitizers, the linker and the compiler cache. The target tfd_flags carries
# what is for our own sources and not for generated ones.

set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_LINK_DEPENDS_NO_SHARED ON)
set(CMAKE_COLOR_DIAGNOSTICS ON)

# Programs find each other as siblings, so all of them are in one folder.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
# Arrow may lie in a Python wheel: built and installed programs find it there.
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib")
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# -g1 keeps file and line in backtraces at little cost in time and size.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")
set(CMAKE_CXX_FLAGS_SANITIZE "-g1")

# One setting for libraries and programs: a precompiled header made with -fPIC is
# refused by a file compiled with -fPIE.
add_compile_options(-fPIC)

add_library(tfd_flags INTERFACE)
target_compile_options(tfd_flags INTERFACE
  -Wall -Wextra -Wnon-virtual-dtor -Woverloaded-virtual
  $<$<BOOL:${TFD_WERROR}>:-Werror>
  # g++ 12 takes std::string's inlined copies for overlapping ones (bug 105651)
  # and reports std::optional and std::variant as uninitialised (bug 80635).
  $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local;-Wno-restrict;-Wno-maybe-uninitialized>
  $<$<CXX_COMPILER_ID:Clang>:-Wshadow;-Wthread-safety;-Wextra-semi>)
target_include_directories(tfd_flags INTERFACE "${PROJECT_SOURCE_DIR}")

if(TFD_SANITIZE)
  add_compile_options(-fsanitize=${TFD_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  if(TFD_SANITIZE MATCHES "address")
    # Optimised, UndefinedBehaviorSanitizer's checks treble the time to compile.
    # Without those left out it is halved again; AddressSanitizer finds what two
    # of them would, and virtual calls through a wrong type crash by themselves.
    add_compile_options(-O0 -fno-sanitize=null,object-size,vptr)
  else()
    # Libraries' headers would lay out their objects for ThreadSanitizer where
    # the libraries themselves were built without it (protobuf's map fields):
    # they are not to see it.
    add_compile_options(-O1 -U__SANITIZE_THREAD__ -DTFD_THREAD_SANITIZER)
  endif()
  add_link_options(-fsanitize=${TFD_SANITIZE})
endif()

find_program(TFD_LLD NAMES ld.lld ld.lld-14)
mark_as_advanced(TFD_LLD)
if(TFD_LLD)
  add_link_options(-fuse-ld=lld)
endif()

# The compiler cache is shared by all build folders of this source tree: paths
# are hashed relative to it, and a precompiled header counts by its content.
find_program(TFD_CCACHE ccache)
mark_as_advanced(TFD_CCACHE)
if(TFD_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      "${CMAKE_COMMAND}" -E env
      "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}"
      CCACHE_NOHASHDIR=1
      "CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime"
      "${TFD_CCACHE}")
endif()
