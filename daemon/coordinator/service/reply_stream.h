// One server-side stream of answers, as a gRPC callback reactor: what waits to
// be written is kept here, and whoever fills it can wait for it to drain.
#ifndef TFD_DAEMON_COORDINATOR_SERVICE_REPLY_STREAM_H_
#define TFD_DAEMON_COORDINATOR_SERVICE_REPLY_STREAM_H_

#include <grpcpp/support/server_callback.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/status.h"

namespace tfd::coordinator {

// Thread-safe. Owned by itself (until gRPC's OnDone) and by whoever holds a
// shared_ptr.
template <typename Message>
class ReplyStream final
    : public grpc::ServerWriteReactor<Message>,
      public std::enable_shared_from_this<ReplyStream<Message>> {
 public:
  using Pointer = std::shared_ptr<ReplyStream>;

  static Pointer Start() {
    Pointer stream(new ReplyStream());
    stream->self_ = stream;
    return stream;
  }

  // `written` is called, without locks held, when the message has left, or
  // never if the call has ended before.
  void Write(Message message, std::function<void()> written = nullptr) {
    absl::MutexLock lock(&mutex_);
    if (closing_.has_value()) return;
    outbox_.emplace_back(std::move(message), std::move(written));
    Proceed();
  }

  // After what waits has been written. The first one counts.
  void Close(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    if (closing_.has_value()) return;
    closing_ = std::move(status);
    Proceed();
  }

  // The call has ended, or will when what waits is written.
  bool closed() const {
    absl::MutexLock lock(&mutex_);
    return closing_.has_value();
  }

  // Called once, when the call has ended, however it did; at once where it has.
  void OnEnd(std::function<void()> on_end) {
    {
      absl::MutexLock lock(&mutex_);
      if (!done_) {
        on_end_ = std::move(on_end);
        return;
      }
    }
    on_end();
  }

 private:
  ReplyStream() = default;

  void Proceed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || finished_) return;
    if (!outbox_.empty()) {
      writing_ = true;
      this->StartWrite(&outbox_.front().first);
    } else if (closing_.has_value()) {
      finished_ = true;
      this->Finish(ToGrpc(*closing_));
    }
  }

  void OnWriteDone(bool ok) override {
    std::function<void()> written;
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
      written = std::move(outbox_.front().second);
      outbox_.pop_front();
      if (!ok) {
        outbox_.clear();
        if (!closing_.has_value()) closing_ = absl::CancelledError("peer gone");
      }
      Proceed();
    }
    if (ok && written) written();
  }

  void OnCancel() override {
    absl::MutexLock lock(&mutex_);
    // Nobody reads any more.
    if (outbox_.size() > 1) outbox_.erase(outbox_.begin() + 1, outbox_.end());
    if (!closing_.has_value())
      closing_ = absl::CancelledError("the call ended");
    Proceed();
  }

  void OnDone() override {
    std::function<void()> on_end;
    {
      absl::MutexLock lock(&mutex_);
      done_ = true;
      on_end = std::move(on_end_);
    }
    if (on_end) on_end();
    Pointer self = std::move(self_);
  }

  // Until OnDone.
  Pointer self_;

  mutable absl::Mutex mutex_;
  std::deque<std::pair<Message, std::function<void()>>> outbox_
      ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> closing_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> on_end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_SERVICE_REPLY_STREAM_H_
