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

# --no-as-needed: operators and devices register themselves when the libraries
# are loaded, and no symbol of ours would keep them. (In one option, because
# CMake removes repeated ones.)
set(_link "-Wl,--push-state,--no-as-needed")
set(_folders "")
foreach(_lib torch torch_cpu c10 torch_cuda c10_cuda)
  if(TfdTorch_${_lib}_LIBRARY)
    string(APPEND _link ",${TfdTorch_${_lib}_LIBRARY}")
    get_filename_component(_folder "${TfdTorch_${_lib}_LIBRARY}" DIRECTORY)
    list(APPEND _folders "${_folder}")
  endif()
endforeach()
string(APPEND _link ",--pop-state")
list(REMOVE_DUPLICATES _folders)
list(REMOVE_ITEM _folders ${CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES})

add_library(tfd::torch INTERFACE IMPORTED)
target_include_directories(tfd::torch SYSTEM INTERFACE
  "${_include}" "${_include}/torch/csrc/api/include")
target_link_libraries(tfd::torch INTERFACE "${_link}" Threads::Threads)
foreach(_folder IN LISTS _folders)
  target_link_options(tfd::torch INTERFACE "-Wl,-rpath,${_folder}")
endforeach()
