// The coordinator's side of a feed, for tests in Python: takes its hello and
// grants each partition to the first attempt that asks for it. Prints what
// happens as lines of JSON and ends when its standard input does. The line
// "PRODUCER" there is an abort by that producer, which begins anew at once.
//
//   usage: tfd_fake_coordinator UNIX-SOCKET TOKEN
#include <google/protobuf/util/json_util.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
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
      if (message.has_spool_notice()) Print(message);
      if (!message.has_hello()) continue;
      Print(message);
      tfd::v1::TaskCommand welcome;
      welcome.mutable_welcome()->set_heartbeat_interval_ms(1000);
      absl::MutexLock lock(&mutex_);
      stream->Write(welcome);
      stream_ = stream;
    }
    absl::MutexLock lock(&mutex_);
    if (stream_ == stream) stream_ = nullptr;
    return grpc::Status::OK;
  }

  void Abort(const std::string& producer) {
    tfd::v1::TaskCommand command;
    command.mutable_producer_aborted()->set_dataset("train");
    command.mutable_producer_aborted()->set_producer(producer);
    absl::MutexLock lock(&mutex_);
    for (auto it = attempts_.begin(); it != attempts_.end();) {
      it = it->first.first == producer ? attempts_.erase(it) : std::next(it);
    }
    if (stream_ != nullptr) stream_->Write(command);
  }

  grpc::Status ReviewAttempts(
      grpc::ServerContext* context,
      const tfd::v1::ReviewAttemptsRequest* request,
      tfd::v1::ReviewAttemptsResponse* response) override {
    const absl::Status allowed = tfd::net::CheckToken(*context, token_);
    if (!allowed.ok()) return tfd::ToGrpc(allowed);
    using Answer = tfd::v1::ReviewAttemptsResponse;
    absl::MutexLock lock(&mutex_);
    for (const tfd::v1::Attempt& attempt : request->attempts()) {
      const auto entry = attempts_.find(
          std::make_pair(attempt.producer(), attempt.partition()));
      response->add_standings(entry == attempts_.end() ? Answer::OPEN
                              : entry->second == attempt.attempt()
                                  ? Answer::SEALED
                                  : Answer::VOID);
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
    absl::MutexLock lock(&print_mutex_);
    std::cout << json << std::endl;
  }

  using Stream =
      grpc::ServerReaderWriter<tfd::v1::TaskCommand, tfd::v1::TaskMessage>;

  const std::string token_;
  absl::Mutex print_mutex_;
  absl::Mutex mutex_;
  // Of the feed that is there.
  Stream* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
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
  while (std::getline(std::cin, line)) service.Abort(line);
  return 0;
}
