// One bidirectional stream of an agent or a task, as a gRPC callback reactor.
//
// It reads one message at a time: the next is read when the loop has taken the
// last one, so a stream never has more than one message waiting there. Writes
// are queued and bounded; who does not read is cut off, and told everything
// when it comes back. Heartbeats never reach the loop: they only move
// last_seen.
#ifndef TFD_DAEMON_COORDINATOR_SERVICE_LINK_SESSION_H_
#define TFD_DAEMON_COORDINATOR_SERVICE_LINK_SESSION_H_

#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/status.h"

namespace tfd::coordinator {

// Thread-safe. Owned by itself (gRPC wants it alive until OnDone) and by
// whoever holds a shared_ptr.
template <typename In, typename Out>
class LinkSession final
    : public grpc::ServerBidiReactor<In, Out>,
      public std::enable_shared_from_this<LinkSession<In, Out>> {
 public:
  using Pointer = std::shared_ptr<LinkSession>;
  struct Callbacks {
    // A message that is no heartbeat. ReadNext must follow.
    std::function<void(const Pointer&, In)> on_message;
    // The stream has ended. Once.
    std::function<void(const Pointer&)> on_end;
  };
  // Beyond this many waiting messages the peer is cut off.
  static constexpr size_t kMaxOutbox = 1024;

  static Pointer Start(const Clock* clock, std::string token,
                       Callbacks callbacks) {
    Pointer session(
        new LinkSession(clock, std::move(token), std::move(callbacks)));
    session->self_ = session;
    session->StartRead(&session->incoming_);
    return session;
  }

  // What the call presented.
  const std::string& token() const { return token_; }

  // `key`: takes the place of a waiting message with the same key (not empty).
  void Send(Out message, const std::string& key = "") {
    absl::MutexLock lock(&mutex_);
    if (closing_.has_value()) return;
    for (auto& [waiting_key, waiting] : outbox_) {
      // The first may be on its way already.
      if (key.empty() || waiting_key != key ||
          (writing_ && &waiting == &outbox_.front().second)) {
        continue;
      }
      waiting = std::move(message);
      return;
    }
    if (outbox_.size() >= kMaxOutbox) {
      closing_ = absl::ResourceExhaustedError("does not read what it is told");
      outbox_.erase(outbox_.begin() + (writing_ ? 1 : 0), outbox_.end());
    } else {
      outbox_.emplace_back(key, std::move(message));
    }
    Proceed();
  }

  // After what waits has been sent. The first one counts.
  void Close(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    if (closing_.has_value()) return;
    closing_ = std::move(status);
    Proceed();
  }

  void ReadNext() {
    absl::MutexLock lock(&mutex_);
    if (!finished_) this->StartRead(&incoming_);
  }

  absl::Time last_seen() const {
    return absl::FromUnixMicros(last_seen_us_.load());
  }

 private:
  LinkSession(const Clock* clock, std::string token, Callbacks callbacks)
      : clock_(clock),
        token_(std::move(token)),
        callbacks_(std::move(callbacks)) {
    Touch();
  }

  void Touch() { last_seen_us_ = absl::ToUnixMicros(clock_->Now()); }

  // Writes the next message, or finishes when nothing is left to write.
  void Proceed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || finished_) return;
    if (!outbox_.empty()) {
      writing_ = true;
      this->StartWrite(&outbox_.front().second);
    } else if (closing_.has_value()) {
      finished_ = true;
      this->Finish(ToGrpc(*closing_));
    }
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      // The peer has closed its side, or is gone.
      Close(absl::OkStatus());
      return;
    }
    Touch();
    if (incoming_.has_heartbeat()) {
      ReadNext();
      return;
    }
    callbacks_.on_message(this->shared_from_this(), std::move(incoming_));
  }

  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    outbox_.pop_front();
    if (!ok) {
      outbox_.clear();
      if (!closing_.has_value()) closing_ = absl::CancelledError("peer gone");
    }
    Proceed();
  }

  void OnCancel() override { Close(absl::CancelledError("the call ended")); }

  void OnDone() override {
    callbacks_.on_end(this->shared_from_this());
    Pointer self = std::move(self_);
  }

  const Clock* const clock_;
  const std::string token_;
  const Callbacks callbacks_;
  std::atomic<int64_t> last_seen_us_{0};
  // Written by gRPC between StartRead and OnReadDone.
  In incoming_;
  // Until OnDone.
  Pointer self_;

  absl::Mutex mutex_;
  std::deque<std::pair<std::string, Out>> outbox_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> closing_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_SERVICE_LINK_SESSION_H_
