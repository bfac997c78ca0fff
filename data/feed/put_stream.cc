#include "data/feed/put_stream.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/slice.h>

#include <utility>

#include "arrow/flight/protocol/Flight.pb.h"
#include "common/status.h"

namespace tfd::data {
namespace {

// For acknowledgements that are still on their way when a call ends.
constexpr absl::Duration kDrainTimeout = absl::Seconds(10);

grpc::ByteBuffer PutResult(std::string app_metadata) {
  arrow::flight::protocol::PutResult result;
  result.set_app_metadata(std::move(app_metadata));
  const grpc::Slice slice(result.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

PutStream::PutStream(grpc::CallbackServerContext* context,
                     std::function<absl::Status(PutStream&)> run,
                     std::function<void(PutStream*)> on_done)
    : context_(context), run_(std::move(run)), on_done_(std::move(on_done)) {}

PutStream::~PutStream() {
  if (thread_.joinable()) thread_.join();
}

void PutStream::Start() { thread_ = std::thread(&PutStream::Run, this); }

void PutStream::Run() {
  {
    absl::MutexLock lock(&mutex_);
    reading_ = true;
  }
  StartRead(&incoming_);
  const absl::Status status = run_(*this);
  {
    absl::MutexLock lock(&mutex_);
    const auto drained = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return cancelled_ || !writing_;
    };
    mutex_.AwaitWithTimeout(absl::Condition(&drained), kDrainTimeout);
    // Nothing is begun after the end.
    next_write_.reset();
  }
  // The last use of `this` but for its callbacks: OnDone may follow at once.
  Finish(ToGrpc(status));
}

PutStream::ReadResult PutStream::Read(grpc::ByteBuffer* message,
                                      absl::Duration timeout) {
  {
    absl::MutexLock lock(&mutex_);
    const auto has_news = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return has_message_ || read_ended_;
    };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&has_news), timeout)) {
      return ReadResult::kTimeout;
    }
    if (!has_message_) return ReadResult::kEnd;
    has_message_ = false;
    reading_ = true;
  }
  message->Swap(&incoming_);
  incoming_.Clear();
  // The next one is received while this one is written to the spool.
  StartRead(&incoming_);
  return ReadResult::kMessage;
}

void PutStream::OnReadDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  reading_ = false;
  if (ok) {
    has_message_ = true;
  } else {
    read_ended_ = true;
  }
}

void PutStream::BeginWrite(const grpc::ByteBuffer& message) {
  writing_ = true;
  outgoing_ = message;
  StartWrite(&outgoing_);
}

void PutStream::Acknowledge(std::string app_metadata) {
  absl::MutexLock lock(&mutex_);
  if (write_failed_ || cancelled_) return;
  if (writing_) {
    next_write_ = std::move(app_metadata);
  } else {
    BeginWrite(PutResult(std::move(app_metadata)));
  }
}

bool PutStream::Write(std::string app_metadata, absl::Duration timeout) {
  return WriteMessage(PutResult(std::move(app_metadata)), timeout);
}

bool PutStream::WriteMessage(const grpc::ByteBuffer& message,
                             absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  absl::MutexLock lock(&mutex_);
  const auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !writing_ || write_failed_ || cancelled_;
  };
  if (!mutex_.AwaitWithDeadline(absl::Condition(&idle), deadline) ||
      write_failed_ || cancelled_) {
    return false;
  }
  BeginWrite(message);
  return mutex_.AwaitWithDeadline(absl::Condition(&idle), deadline) &&
         !write_failed_ && !cancelled_;
}

bool PutStream::AwaitCancel(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&cancelled_), timeout);
}

void PutStream::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  if (!ok) write_failed_ = true;
  if (ok && next_write_ && !cancelled_) {
    std::string next = *std::move(next_write_);
    next_write_.reset();
    BeginWrite(PutResult(std::move(next)));
  }
}

void PutStream::Cancel() { context_->TryCancel(); }

void PutStream::OnCancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
}

void PutStream::OnDone() { on_done_(this); }

}  // namespace tfd::data
