// The coordinator's side of a feed, for tests in Python: takes its hello and
// grants each partition to the first attempt that asks for it. Prints what
// happens as lines of JSON and ends when its standard input does.
//
//   usage: tfd_fake_coordinator UNIX-SOCKET TOKEN
#include <google/protobuf/util/json_util.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include <iostream>
#include <map>
#include <string>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "common/net/server.h"
#include "common/status.h"
#include "tfd/v1/task.grpc.pb.h"

namespace {

using google::protobuf::util::MessageToJsonString;

class FakeTaskLink final : public tfd::v1::TaskLink::Service {
 public:
  explicit FakeTaskLink(std::string token) : token_(std::move(token)) {}

  grpc::Status Attach(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<tfd::v1::TaskCommand, tfd::v1::TaskMessage>*
          stream) override {
    const absl::Status allowed = tfd::net::CheckToken(*context, token_);
    if (!allowed.ok()) return tfd::ToGrpc(allowed);
    tfd::v1::TaskMessage message;
    while (stream->Read(&message)) {
      if (!message.has_hello()) continue;
      Print(message);
      tfd::v1::TaskCommand welcome;
      welcome.mutable_welcome()->set_heartbeat_interval_ms(1000);
      stream->Write(welcome);
    }
    return grpc::Status::OK;
  }

  grpc::Status SealPartition(
      grpc::ServerContext* context,
      const tfd::v1::SealPartitionRequest* request,
      tfd::v1::SealPartitionResponse* /*response*/) override {
    const absl::Status allowed = tfd::net::CheckToken(*context, token_);
    if (!allowed.ok()) return tfd::ToGrpc(allowed);
    const tfd::v1::Partition& partition = request->partition();
    bool granted = false;
    {
      absl::MutexLock lock(&mutex_);
      const auto key =
          std::make_pair(partition.producer(), partition.partition());
      if (!request->only_ask()) attempts_.emplace(key, partition.attempt());
      const auto entry = attempts_.find(key);
      granted =
          entry == attempts_.end() || entry->second == partition.attempt();
    }
    if (!granted) {
      return tfd::ToGrpc(
          absl::AlreadyExistsError("the partition is sealed already"));
    }
    if (!request->only_ask()) Print(*request);
    return grpc::Status::OK;
  }

 private:
  void Print(const google::protobuf::Message& message) {
    std::string json;
    if (!MessageToJsonString(message, &json).ok()) return;
    absl::MutexLock lock(&mutex_);
    std::cout << json << std::endl;
  }

  const std::string token_;
  absl::Mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::string> attempts_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  FakeTaskLink service(argv[2]);
  tfd::net::ServerOptions options;
  options.tcp = "";
  options.unix_path = argv[1];
  const auto server = tfd::net::Server::Start(options, {&service});
  if (!server.ok()) {
    std::cerr << std::string(server.status().message()) << std::endl;
    return 1;
  }
  std::cout << "{}" << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
  }
  return 0;
}
