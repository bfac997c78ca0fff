#include "data/feed/stream_calls.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace tfd::data {
namespace {

// Each has a thread, and up to two messages in memory.
constexpr size_t kMaxStreams = 256;

// A call that is over before it began.
class RefusedCall final : public StreamCalls::Reactor {
 public:
  explicit RefusedCall(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

StreamCalls::Reactor* StreamCalls::Refuse(const absl::Status& status) {
  return new RefusedCall(status);
}

StreamCalls::Reactor* StreamCalls::Start(
    grpc::CallbackServerContext* context,
    std::function<absl::Status(PutStream&)> run) {
  std::vector<std::unique_ptr<PutStream>> over;
  auto stream = std::make_unique<PutStream>(
      context, std::move(run), [this](PutStream* done) { Done(done); });
  PutStream* const call = stream.get();
  {
    absl::MutexLock lock(&mutex_);
    over.swap(done_);
    if (stopping_) {
      return Refuse(
          absl::UnavailableError(absl::StrCat(server_, " is stopping")));
    }
    if (active_.size() >= kMaxStreams) {
      // Not ResourceExhausted, which a full spool is, and which no retry helps.
      return Refuse(absl::UnavailableError(
          absl::StrCat(server_, " takes ", kMaxStreams,
                       " streams at a time: try again when one has ended")));
    }
    active_.emplace(call, std::move(stream));
  }
  call->Start();
  return call;
}

void StreamCalls::Done(PutStream* stream) {
  absl::MutexLock lock(&mutex_);
  const auto found = active_.find(stream);
  done_.push_back(std::move(found->second));
  active_.erase(found);
}

void StreamCalls::Stop() {
  std::vector<std::unique_ptr<PutStream>> over;
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  for (auto& [call, unused] : active_) call->Cancel();
  const auto all_done = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return active_.empty();
  };
  mutex_.Await(absl::Condition(&all_done));
  over.swap(done_);
}

}  // namespace tfd::data
