#include "common/task/coordinator_link.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/log.h"
#include "common/net/channel.h"
#include "common/poll.h"
#include "common/status.h"
#include "common/task/outbox.h"
#include "common/units.h"
#include "common/version.h"
#include "tfd/v1/task.grpc.pb.h"

namespace tfd {
namespace {

constexpr absl::Duration kFirstRetry = absl::Milliseconds(50);
constexpr absl::Duration kLongestRetry = absl::Seconds(1);
// One attempt of a unary call; a coordinator that takes longer is asked again.
constexpr absl::Duration kSealAttempt = absl::Seconds(10);

using Stream = grpc::ClientReaderWriter<v1::TaskMessage, v1::TaskCommand>;

// The coordinator is there and will say the same the next time.
bool IsRefusal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnimplemented:
      return true;
    default:
      return false;
  }
}

// Two threads: the link's own (connects, reads, calls back) and, while a
// stream is up, its writer (queue and heartbeats).
class Link : public CoordinatorLink {
 public:
  explicit Link(CoordinatorLinkOptions options)
      : options_(std::move(options)),
        stub_(v1::TaskLink::NewStub(net::Dial(options_.coordinator))),
        patience_(options_.patience) {
    thread_ = std::thread([this] { Run(); });
  }
  ~Link() override {
    Abandon();
    thread_.join();
  }

  void Send(v1::TaskMessage message) override;
  absl::Status Close(absl::Duration timeout) override;
  absl::Status SealPartition(const v1::SealPartitionRequest& request,
                             absl::Duration timeout) override;
  absl::StatusOr<v1::ReviewAttemptsResponse> ReviewAttempts(
      const v1::ReviewAttemptsRequest& request,
      absl::Duration timeout) override;

 private:
  void Run();
  // One stream from hello to its end; `welcomed` tells whether the coordinator
  // took us in.
  absl::Status ServeStream(bool* welcomed);
  void Write(Stream* stream);
  void TakeIn(const v1::TaskCommand& command);
  void End(const absl::Status& status);
  void Abandon();
  std::string Self() const;

  bool WriterHasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return abandoned_ || stream_ended_ || closing_ || heartbeat_changed_ ||
           !outbox_.empty();
  }

  const CoordinatorLinkOptions options_;
  const std::unique_ptr<v1::TaskLink::Stub> stub_;
  std::thread thread_;

  absl::Mutex mutex_;
  internal::Outbox outbox_ ABSL_GUARDED_BY(mutex_);
  absl::Duration patience_ ABSL_GUARDED_BY(mutex_);
  absl::Duration heartbeat_interval_ ABSL_GUARDED_BY(mutex_) =
      absl::InfiniteDuration();
  bool heartbeat_changed_ ABSL_GUARDED_BY(mutex_) = false;
  // Of the current stream; null between two.
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool connected_ ABSL_GUARDED_BY(mutex_) = false;
  bool stream_ended_ ABSL_GUARDED_BY(mutex_) = false;
  // Close was called: flush, then end in order.
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  // Nobody waits any more: end at once.
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
  // How the link ended, once it has.
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mutex_);
};

std::string Link::Self() const {
  return absl::StrCat(options_.hello.task(), " of job ", options_.hello.job());
}

void Link::Send(v1::TaskMessage message) {
  absl::MutexLock lock(&mutex_);
  outbox_.Add(std::move(message), connected_);
}

void Link::Abandon() {
  absl::MutexLock lock(&mutex_);
  abandoned_ = true;
  if (context_ != nullptr) context_->TryCancel();
}

absl::Status Link::Close(absl::Duration timeout) {
  {
    absl::MutexLock lock(&mutex_);
    closing_ = true;
    const auto has_ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return ended_.has_value();
    };
    if (mutex_.AwaitWithTimeout(absl::Condition(&has_ended), timeout)) {
      return *ended_;
    }
  }
  Abandon();
  return absl::DeadlineExceededError(absl::StrCat(
      "the coordinator at ", options_.coordinator, " did not take in the last ",
      "messages of ", Self(), " within ", tfd::FormatDuration(timeout)));
}

void Link::End(const absl::Status& status) {
  bool tell = false;
  {
    absl::MutexLock lock(&mutex_);
    if (ended_.has_value()) return;
    ended_ = status;
    tell = !closing_ && !abandoned_;
  }
  if (tell && options_.on_lost) options_.on_lost(status);
}

void Link::Run() {
  absl::Time last_contact = SteadyNow();
  absl::Duration retry = kFirstRetry;
  bool away = false;
  while (true) {
    bool welcomed = false;
    const absl::Status status = ServeStream(&welcomed);
    if (welcomed) {
      last_contact = SteadyNow();
      retry = kFirstRetry;
      away = false;
    }
    absl::Duration patience;
    {
      absl::MutexLock lock(&mutex_);
      patience = patience_;
      if (abandoned_) break;
      // An orderly end: all was read by the coordinator, which then said OK.
      const bool flushed = status.ok() && outbox_.empty();
      if (closing_ && (flushed || outbox_.settled())) break;
    }
    if (IsRefusal(status)) {
      return End(Annotate(
          status, absl::StrCat("the coordinator at ", options_.coordinator,
                               " refused ", Self())));
    }
    const absl::Duration away_for = SteadyNow() - last_contact;
    if (away_for >= patience) {
      return End(absl::UnavailableError(
          absl::StrCat(Self(), " has waited ", tfd::FormatDuration(patience),
                       " for the coordinator at ", options_.coordinator,
                       " and gives up; is it running? The last attempt: ",
                       status.message())));
    }
    if (!away) {
      spdlog::warn("the coordinator at {} is away ({}); trying again for {}",
                   options_.coordinator,
                   status.ok() ? absl::string_view("it closed the connection")
                               : status.message(),
                   tfd::FormatDuration(patience));
      away = true;
    }
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&abandoned_),
                            std::min(retry, patience - away_for));
    retry = std::min(retry * 2, kLongestRetry);
  }
  End(absl::OkStatus());
}

absl::Status Link::ServeStream(bool* welcomed) {
  grpc::ClientContext context;
  net::AddToken(context, options_.token);
  {
    absl::MutexLock lock(&mutex_);
    if (abandoned_) return absl::CancelledError("the link was closed");
    context_ = &context;
    stream_ended_ = false;
    heartbeat_interval_ = absl::InfiniteDuration();
    outbox_.BeginStream();
  }
  const std::unique_ptr<Stream> stream = stub_->Attach(&context);
  v1::TaskMessage hello;
  *hello.mutable_hello() = options_.hello;
  std::thread writer;
  if (stream->Write(hello)) {
    absl::MutexLock lock(&mutex_);
    connected_ = true;
    writer = std::thread([this, &stream] { Write(stream.get()); });
  }
  v1::TaskCommand command;
  while (stream->Read(&command)) {
    if (command.has_welcome()) *welcomed = true;
    TakeIn(command);
  }
  {
    absl::MutexLock lock(&mutex_);
    connected_ = false;
    stream_ended_ = true;
  }
  if (writer.joinable()) writer.join();
  const absl::Status status = FromGrpc(stream->Finish());
  absl::MutexLock lock(&mutex_);
  context_ = nullptr;
  return status;
}

void Link::TakeIn(const v1::TaskCommand& command) {
  if (command.has_welcome()) {
    const v1::TaskWelcome& welcome = command.welcome();
    absl::MutexLock lock(&mutex_);
    if (welcome.heartbeat_interval_ms() > 0) {
      heartbeat_interval_ = absl::Milliseconds(welcome.heartbeat_interval_ms());
      heartbeat_changed_ = true;
    }
    if (welcome.patience_ms() > 0) {
      patience_ = absl::Milliseconds(welcome.patience_ms());
    }
    return;
  }
  if (command.has_committed()) {
    const auto& checkpoints = command.committed().checkpoints();
    absl::MutexLock lock(&mutex_);
    if (!checkpoints.empty()) {
      outbox_.Committed(checkpoints.rbegin()->step());
    }
  }
  if (options_.on_command) options_.on_command(command);
}

void Link::Write(Stream* stream) {
  absl::Time next_heartbeat = absl::InfiniteFuture();
  while (true) {
    internal::Outbox::Entry entry;
    bool is_queued = false;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(this, &Link::WriterHasWork),
                              next_heartbeat - SteadyNow());
      if (abandoned_ || stream_ended_) return;
      if (heartbeat_changed_) {
        heartbeat_changed_ = false;
        next_heartbeat = SteadyNow() + heartbeat_interval_;
      }
      // A heartbeat goes first: a long queue must not make us look dead.
      if (SteadyNow() >= next_heartbeat) {
        entry.message.mutable_heartbeat();
        next_heartbeat = SteadyNow() + heartbeat_interval_;
      } else if (!outbox_.empty()) {
        entry = outbox_.Front();
        is_queued = true;
      } else if (!closing_) {
        continue;
      }
    }
    if (!is_queued && !entry.message.has_heartbeat()) {
      stream->WritesDone();
      return;
    }
    if (!stream->Write(entry.message)) return;
    if (is_queued) {
      absl::MutexLock lock(&mutex_);
      outbox_.Sent(entry.sequence);
    }
  }
}

absl::Status Link::SealPartition(const v1::SealPartitionRequest& request,
                                 absl::Duration timeout) {
  const absl::Time deadline = SteadyNow() + timeout;
  absl::Duration retry = kFirstRetry;
  while (true) {
    grpc::ClientContext context;
    net::AddToken(context, options_.token);
    net::SetTimeout(context, std::min(kSealAttempt, deadline - SteadyNow()));
    v1::SealPartitionResponse response;
    const absl::Status status =
        FromGrpc(stub_->SealPartition(&context, request, &response));
    const bool again = absl::IsUnavailable(status) ||
                       absl::IsDeadlineExceeded(status) ||
                       absl::IsCancelled(status);
    if (!again) return status;
    const absl::Duration left = deadline - SteadyNow();
    absl::MutexLock lock(&mutex_);
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          absl::StrCat("the coordinator at ", options_.coordinator,
                       " did not answer within ", tfd::FormatDuration(timeout),
                       " whether partition ", request.partition().partition(),
                       " of producer ", request.partition().producer(),
                       " may be sealed; the last attempt: ", status.message()));
    }
    const auto has_ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return abandoned_ || ended_.has_value();
    };
    if (mutex_.AwaitWithTimeout(absl::Condition(&has_ended),
                                std::min(retry, left))) {
      return ended_.has_value() && !ended_->ok()
                 ? *ended_
                 : absl::CancelledError(
                       "the link to the coordinator is closed");
    }
    retry = std::min(retry * 2, kLongestRetry);
  }
}

absl::StatusOr<v1::ReviewAttemptsResponse> Link::ReviewAttempts(
    const v1::ReviewAttemptsRequest& request, absl::Duration timeout) {
  grpc::ClientContext context;
  net::AddToken(context, options_.token);
  net::SetTimeout(context, timeout);
  v1::ReviewAttemptsResponse response;
  const absl::Status status =
      FromGrpc(stub_->ReviewAttempts(&context, request, &response));
  if (!status.ok()) {
    return Annotate(
        status, absl::StrCat("asking the coordinator at ", options_.coordinator,
                             " about ", request.attempts_size(), " attempts"));
  }
  if (response.standings_size() != request.attempts_size()) {
    return absl::InternalError(absl::StrCat(
        "the coordinator at ", options_.coordinator, " was asked about ",
        request.attempts_size(), " attempts and answered about ",
        response.standings_size()));
  }
  return response;
}

}  // namespace

std::unique_ptr<CoordinatorLink> CoordinatorLink::Start(
    CoordinatorLinkOptions options) {
  return std::make_unique<Link>(std::move(options));
}

v1::TaskHello MakeHello(const TaskEnvironment& environment,
                        uint64_t incarnation) {
  v1::TaskHello hello;
  hello.set_protocol_version(kProtocolVersion);
  hello.set_job(environment.job);
  hello.set_task(environment.task);
  hello.set_generation(environment.generation);
  hello.set_incarnation(incarnation);
  hello.set_pid(getpid());
  return hello;
}

}  // namespace tfd
