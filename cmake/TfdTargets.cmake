# tfd_library, tfd_program and tfd_test: what each folder's CMakeLists.txt is
# written in.
#
#   tfd_library(tfd_ps
#     SOURCES shard.cc optimizer.cc      # explicit, no globs
#     DEPS tfd_tensor tfd_common         # public
#     PRIVATE_DEPS SQLite::SQLite3       # not passed on to users
#     PCH grpc                           # optional: absl, grpc or torch (tests
#                                        # have one)
#     HOT)                               # optional: -O3
#   tfd_program(tfd-ps SOURCES main.cc DEPS tfd_ps)
#   tfd_test(tfd_ps_test
#     SOURCES shard_test.cc              # brings GoogleTest and its main
#     DEPS tfd_ps
#     READ_SOURCES golden_test.cc        # optional: these know TFD_SOURCE_DIR
#     LABEL unit                         # unit (the default) or cluster, which
#                                        # starts processes and runs alone
#     TIMEOUT 60)                        # seconds for one test case
#
# Programs are built into <build folder>/bin and tests into <build folder>/tests:
# a test finds a program at ../bin from its own executable (/proc/self/exe). A path
# of this tree in a macro makes the compiler cache miss in every other clone: only
# the sources that READ_SOURCES names get TFD_SOURCE_DIR.
#
# A folder is built alone with TFD_FOLDERS, for example
#   cmake --preset release -B build/mine -DTFD_FOLDERS="proto;common;tests"
# and a test executable with `ninja -C build/mine tfd_common_test`.
#
# Dependencies go one way, and a target outside its folder's list is refused:

set(TFD_MAY_USE_proto "")
set(TFD_MAY_USE_common proto)
set(TFD_MAY_USE_tensor proto common)
set(TFD_MAY_USE_data proto common)
set(TFD_MAY_USE_ps proto common tensor)
set(TFD_MAY_USE_worker proto common tensor data ps)
set(TFD_MAY_USE_daemon/coordinator proto common)
set(TFD_MAY_USE_daemon/agent proto common)
set(TFD_MAY_USE_client proto common)

include(GoogleTest)

# Adds a folder with its CMakeLists.txt, if the options ask for it.
function(tfd_add_folder folder)
  if((folder MATCHES "(^|/)worker$" AND NOT TFD_BUILD_WORKER)
     OR (folder MATCHES "(^|/)data$" AND NOT TFD_BUILD_DATA)
     OR (folder MATCHES "^(tests|bench)" AND NOT TFD_BUILD_TESTS))
    return()
  endif()
  add_subdirectory("${folder}")
endfunction()

# The folder that the current CMakeLists.txt belongs to, as in TFD_MAY_USE_*.
function(_tfd_folder out)
  file(RELATIVE_PATH path "${PROJECT_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}")
  string(REGEX MATCH "^(daemon/[^/]+|[^/]+)" folder "${path}")
  set(${out} "${folder}" PARENT_SCOPE)
endfunction()

# Refuses a dependency of `target` that would point the other way.
function(_tfd_check_deps target)
  _tfd_folder(folder)
  set_property(GLOBAL PROPERTY "TFD_FOLDER_${target}" "${folder}")
  foreach(dep IN LISTS ARGN)
    get_property(dep_folder GLOBAL PROPERTY "TFD_FOLDER_${dep}")
    if(dep MATCHES "^tfd_" AND NOT TARGET ${dep})
      message(FATAL_ERROR "${target} needs ${dep}, which no folder in "
                          "TFD_FOLDERS (${TFD_FOLDERS}) defines.")
    endif()
    if(dep STREQUAL "tfd::torch")
      set(dep_folder worker)
    elseif(dep MATCHES "^tfd::(arrow|parquet)$" AND NOT folder STREQUAL worker)
      set(dep_folder data)
    endif()
    if(NOT dep_folder OR dep_folder STREQUAL folder
       OR dep_folder IN_LIST TFD_MAY_USE_${folder}
       OR folder MATCHES "^(tests|bench)$")
      continue()
    endif()
    message(FATAL_ERROR "${target} in ${folder}/ must not use ${dep}: it may "
                        "use only {${TFD_MAY_USE_${folder}}} (cmake/TfdTargets.cmake).")
  endforeach()
endfunction()

# One target per header set compiles it; the users of that set share it.
function(tfd_use_pch target set)
  if(NOT TFD_PCH)
    return()
  endif()
  set(owner tfd_pch_${set})
  if(NOT TARGET ${owner})
    file(GENERATE OUTPUT "${CMAKE_BINARY_DIR}/pch/${set}.cc" CONTENT "")
    add_library(${owner} OBJECT "${CMAKE_BINARY_DIR}/pch/${set}.cc")
    target_link_libraries(${owner} PRIVATE tfd_flags tfd::grpc)
    if(set STREQUAL test)
      target_link_libraries(${owner} PRIVATE GTest::gmock)
    elseif(set STREQUAL torch)
      target_link_libraries(${owner} PRIVATE tfd::torch)
      target_compile_options(${owner} PRIVATE $<$<CONFIG:Release>:-O3>)
    endif()
    target_precompile_headers(${owner} PRIVATE
      "${PROJECT_SOURCE_DIR}/cmake/pch/${set}.h")
  endif()
  target_precompile_headers(${target} REUSE_FROM ${owner})
endfunction()

macro(_tfd_parse)
  cmake_parse_arguments(PARSE_ARGV 1 arg "HOT" "PCH;LABEL;TIMEOUT"
                        "SOURCES;DEPS;PRIVATE_DEPS;READ_SOURCES")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "${name}: unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  _tfd_check_deps(${name} ${arg_DEPS} ${arg_PRIVATE_DEPS})
endmacro()

function(_tfd_finish name)
  target_link_libraries(${name} PRIVATE tfd_flags)
  if(arg_PCH)
    tfd_use_pch(${name} ${arg_PCH})
  endif()
  if(arg_HOT OR arg_PCH STREQUAL torch)
    target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O3>)
  endif()
endfunction()

# Under ThreadSanitizer links cmake/sanitizers/tsan_absl.cc (see there) into every
# executable of a folder and those below, however it was added.
function(tfd_link_tsan folder)
  if(NOT TFD_SANITIZE MATCHES "thread")
    return()
  endif()
  if(NOT TARGET tfd_tsan)
    add_library(tfd_tsan OBJECT
      "${PROJECT_SOURCE_DIR}/cmake/sanitizers/tsan_absl.cc")
    target_link_libraries(tfd_tsan PUBLIC absl::synchronization ${CMAKE_DL_LIBS})
  endif()
  get_property(targets DIRECTORY "${folder}" PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "EXECUTABLE")
      target_link_libraries(${target} PRIVATE tfd_tsan)
    endif()
  endforeach()
  get_property(subfolders DIRECTORY "${folder}" PROPERTY SUBDIRECTORIES)
  foreach(subfolder IN LISTS subfolders)
    tfd_link_tsan("${subfolder}")
  endforeach()
endfunction()

function(tfd_library name)
  _tfd_parse()
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PUBLIC ${arg_DEPS} PRIVATE ${arg_PRIVATE_DEPS})
  _tfd_finish(${name})
endfunction()

function(tfd_program name)
  _tfd_parse()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} ${arg_PRIVATE_DEPS})
  _tfd_finish(${name})
  # What a user runs, without the tests and benchmarks.
  if(NOT TARGET programs)
    add_custom_target(programs)
  endif()
  add_dependencies(programs ${name})
  install(TARGETS ${name} RUNTIME DESTINATION bin)
endfunction()

function(tfd_test name)
  _tfd_parse()
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  if(NOT arg_PCH STREQUAL torch)
    set(arg_PCH test)
  endif()
  set(serial FALSE)
  if(arg_LABEL STREQUAL cluster)
    set(serial TRUE)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE
    ${arg_DEPS} ${arg_PRIVATE_DEPS} GTest::gmock GTest::gtest_main)
  set_source_files_properties(${arg_READ_SOURCES} PROPERTIES
    COMPILE_DEFINITIONS "TFD_SOURCE_DIR=\"${PROJECT_SOURCE_DIR}\"")
  set_target_properties(${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  _tfd_finish(${name})
  gtest_discover_tests(${name}
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60
    TEST_PREFIX "${name}."
    PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT}
               RUN_SERIAL ${serial})
endfunction()
