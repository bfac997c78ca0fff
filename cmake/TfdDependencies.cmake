# The libraries that tfd is built on. docs/dependencies.md says why these.

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(absl REQUIRED CONFIG)
find_package(Protobuf REQUIRED)
find_package(gRPC REQUIRED CONFIG)
find_package(spdlog REQUIRED CONFIG)
find_package(CLI11 REQUIRED CONFIG)
find_package(yaml-cpp REQUIRED CONFIG)
find_package(nlohmann_json REQUIRED CONFIG)
find_package(SQLite3 REQUIRED)
if(TFD_BUILD_TESTS)
  find_package(GTest REQUIRED CONFIG)
  find_package(benchmark CONFIG)
endif()
if(TFD_BUILD_DATA)
  find_package(TfdArrow REQUIRED)
  find_package(TfdImage REQUIRED)
endif()
if(TFD_BUILD_WORKER)
  find_package(TfdTorch REQUIRED)
endif()

# yaml-cpp 0.7 exports no namespaced target.
if(NOT TARGET yaml-cpp::yaml-cpp)
  add_library(yaml-cpp::yaml-cpp ALIAS yaml-cpp)
endif()

# gRPC with what its generated code and headers need at link time besides.
add_library(tfd_grpc INTERFACE)
add_library(tfd::grpc ALIAS tfd_grpc)
target_link_libraries(tfd_grpc INTERFACE
  gRPC::grpc++ protobuf::libprotobuf absl::synchronization Threads::Threads)
