#include "tests/agent/fake_coordinator.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <thread>
#include <utility>

namespace tfd::agent {
namespace {

constexpr int kHeartbeatMs = 20;
constexpr int kLeaseMs = 10'000;

}  // namespace

FakeCoordinator::FakeCoordinator(std::string unix_path, std::string cluster_id)
    : unix_path_(std::move(unix_path)), cluster_id_(std::move(cluster_id)) {}

void FakeCoordinator::Start() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = false;
  }
  net::ServerOptions options;
  options.tcp = "";
  options.unix_path = unix_path_;
  auto server = net::Server::Start(options, {this});
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
}

void FakeCoordinator::Stop() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (server_ != nullptr) server_->Stop();
  server_.reset();
}

void FakeCoordinator::SetDesired(v1::DesiredState desired) {
  const absl::MutexLock lock(&mutex_);
  desired_ = std::move(desired);
  ++version_;
}

void FakeCoordinator::Refuse(const grpc::Status& status) {
  const absl::MutexLock lock(&mutex_);
  refusal_ = status;
}

std::vector<v1::AgentHello> FakeCoordinator::Hellos() const {
  const absl::MutexLock lock(&mutex_);
  return hellos_;
}

int FakeCoordinator::Heartbeats() const {
  const absl::MutexLock lock(&mutex_);
  return heartbeats_;
}

std::vector<v1::TaskReport> FakeCoordinator::Reports() const {
  const absl::MutexLock lock(&mutex_);
  return reports_;
}

std::optional<v1::TaskReport> FakeCoordinator::Newest(
    const std::string& task) const {
  const absl::MutexLock lock(&mutex_);
  for (auto it = reports_.rbegin(); it != reports_.rend(); ++it) {
    if (it->task() == task) return *it;
  }
  return std::nullopt;
}

void FakeCoordinator::Hear(const v1::AgentMessage& message) {
  const absl::MutexLock lock(&mutex_);
  switch (message.message_case()) {
    case v1::AgentMessage::kHello:
      hellos_.push_back(message.hello());
      for (const auto& report : message.hello().tasks()) {
        reports_.push_back(report);
      }
      return;
    case v1::AgentMessage::kHeartbeat:
      ++heartbeats_;
      return;
    case v1::AgentMessage::kReport:
      reports_.push_back(message.report());
      return;
    case v1::AgentMessage::MESSAGE_NOT_SET:
      ADD_FAILURE() << "an empty message";
      return;
  }
}

grpc::Status FakeCoordinator::Attach(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<v1::AgentCommand, v1::AgentMessage>* stream) {
  v1::AgentMessage message;
  if (!stream->Read(&message)) return grpc::Status::CANCELLED;
  Hear(message);
  {
    const absl::MutexLock lock(&mutex_);
    if (!refusal_.ok()) return refusal_;
  }
  v1::AgentCommand command;
  command.mutable_welcome()->set_cluster_id(cluster_id_);
  command.mutable_welcome()->set_heartbeat_interval_ms(kHeartbeatMs);
  command.mutable_welcome()->set_lease_ms(kLeaseMs);
  stream->Write(command);

  bool reading = true;
  std::thread reader([&] {
    v1::AgentMessage heard;
    while (stream->Read(&heard)) Hear(heard);
    const absl::MutexLock lock(&mutex_);
    reading = false;
  });
  int sent = -1;
  while (true) {
    {
      const absl::MutexLock lock(&mutex_);
      const auto something = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
        return stopping_ || !reading || version_ != sent;
      };
      mutex_.Await(absl::Condition(&something));
      if (stopping_ || !reading) break;
      sent = version_;
      *command.mutable_desired() = desired_;
    }
    stream->Write(command);
  }
  context->TryCancel();
  reader.join();
  return grpc::Status::OK;
}

}  // namespace tfd::agent
