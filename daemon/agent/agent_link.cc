#include "daemon/agent/agent_link.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/net/channel.h"
#include "common/status.h"
#include "spdlog/spdlog.h"
#include "tfd/v1/agent.grpc.pb.h"

namespace tfd::agent {
namespace {

// A task reports twice in its life. Should so many ever be waiting, the stream
// is given up, and the next hello says it all.
constexpr size_t kMaxWaitingReports = 10'000;
constexpr absl::Duration kShortestHeartbeat = absl::Milliseconds(10);
constexpr absl::Duration kDefaultHeartbeat = absl::Seconds(1);

}  // namespace

AgentLink::AgentLink(AgentLinkOptions options) : options_(std::move(options)) {}

AgentLink::~AgentLink() { Stop(absl::ZeroDuration()); }

void AgentLink::Start() {
  thread_ = std::thread([this] { Run(); });
}

void AgentLink::Report(const v1::TaskReport& report) {
  const absl::MutexLock lock(&mutex_);
  if (context_ == nullptr) return;
  if (reports_.size() >= kMaxWaitingReports) {
    context_->TryCancel();
    return;
  }
  reports_.push_back(report);
}

void AgentLink::Stop(absl::Duration flush) {
  if (!thread_.joinable()) return;
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
    mutex_.AwaitWithTimeout(absl::Condition(&ended_), flush);
    if (context_ != nullptr) context_->TryCancel();
  }
  thread_.join();
}

void AgentLink::Run() {
  const std::shared_ptr<grpc::Channel> channel =
      net::Dial(options_.coordinator);
  absl::Duration retry = options_.first_retry;
  while (true) {
    const absl::Status status = Connect(*channel);
    const absl::MutexLock lock(&mutex_);
    if (stopping_) break;
    SayLost(status);
    if (std::exchange(welcomed_, false)) retry = options_.first_retry;
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), retry)) break;
    retry = std::min(retry * 2, options_.longest_retry);
  }
  const absl::MutexLock lock(&mutex_);
  ended_ = true;
}

absl::Status AgentLink::Connect(grpc::Channel& channel) {
  grpc::ClientContext context;
  {
    const absl::MutexLock lock(&mutex_);
    if (stopping_) return absl::CancelledError("stopped");
    context_ = &context;
    reading_ = true;
    // The hello, which is made after this, knows of them.
    reports_.clear();
  }
  const auto stub = v1::AgentLink::NewStub(
      std::shared_ptr<grpc::ChannelInterface>(&channel, [](auto*) {}));
  const auto stream = stub->Attach(&context);
  v1::AgentMessage hello;
  *hello.mutable_hello() = options_.hello();
  absl::Status refused;
  if (stream->Write(hello)) {
    std::thread reader([&] {
      refused = ReadUntilEnd(*stream);
      const absl::MutexLock lock(&mutex_);
      reading_ = false;
    });
    WriteUntilEnd(*stream);
    reader.join();
  }
  const absl::Status status = FromGrpc(stream->Finish());
  const absl::MutexLock lock(&mutex_);
  context_ = nullptr;
  return refused.ok() ? status : refused;
}

template <typename Stream>
void AgentLink::WriteUntilEnd(Stream& stream) {
  absl::Time last_heartbeat = absl::Now();
  while (true) {
    v1::AgentMessage message;
    {
      const absl::MutexLock lock(&mutex_);
      const absl::Duration interval = heartbeat_;
      const auto something = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
        return !reports_.empty() || !reading_ || stopping_ ||
               heartbeat_ != interval;
      };
      const bool woken = mutex_.AwaitWithDeadline(absl::Condition(&something),
                                                  last_heartbeat + interval);
      if (!reading_) return;
      if (!reports_.empty()) {
        *message.mutable_report() = std::move(reports_.front());
        reports_.pop_front();
      } else if (stopping_) {
        break;
      } else if (woken) {
        continue;
      } else {
        message.mutable_heartbeat();
        last_heartbeat = absl::Now();
      }
    }
    if (!stream.Write(message)) return;
  }
  stream.WritesDone();
}

template <typename Stream>
absl::Status AgentLink::ReadUntilEnd(Stream& stream) {
  bool welcomed = false;
  v1::AgentCommand command;
  while (stream.Read(&command)) {
    if (absl::Status status = Take(std::move(command), welcomed);
        !status.ok()) {
      const absl::MutexLock lock(&mutex_);
      context_->TryCancel();
      return status;
    }
    command.Clear();
  }
  return absl::OkStatus();
}

absl::Status AgentLink::Take(v1::AgentCommand command, bool& welcomed) {
  switch (command.command_case()) {
    case v1::AgentCommand::kWelcome: {
      const v1::AgentWelcome& welcome = command.welcome();
      spdlog::info("attached to the coordinator at {} (cluster {})",
                   options_.coordinator, welcome.cluster_id());
      welcomed = true;
      {
        const absl::MutexLock lock(&mutex_);
        welcomed_ = true;
        heartbeat_ =
            welcome.heartbeat_interval_ms() > 0
                ? std::max(kShortestHeartbeat,
                           absl::Milliseconds(welcome.heartbeat_interval_ms()))
                : kDefaultHeartbeat;
      }
      options_.on_welcome(welcome);
      return absl::OkStatus();
    }
    case v1::AgentCommand::kDesired:
      if (!welcomed) {
        return absl::FailedPreconditionError(
            "the coordinator said what it wants before it said who it is");
      }
      options_.on_desired(std::move(*command.mutable_desired()));
      return absl::OkStatus();
    case v1::AgentCommand::COMMAND_NOT_SET:
      // A newer coordinator's; what matters to safety is in the desired state.
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

void AgentLink::SayLost(const absl::Status& status) {
  if (welcomed_) said_lost_ = false;
  if (std::exchange(said_lost_, true)) {
    spdlog::debug("still no coordinator: {}", std::string(status.message()));
    return;
  }
  spdlog::warn(
      "no coordinator at {}: {}; tasks go on, and it is tried again until it "
      "is there",
      options_.coordinator,
      status.ok() ? "it ended the stream" : std::string(status.message()));
}

}  // namespace tfd::agent
