#include "data/feed/feed_service.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/net/server.h"
#include "common/status.h"

namespace tfd::data {
namespace {

// Each has a thread, and up to two messages in memory.
constexpr size_t kMaxStreams = 256;

using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// A call that is over before it began.
class RefusedCall final : public Reactor {
 public:
  explicit RefusedCall(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

FeedService::FeedService(FeedContext context, std::string token)
    : context_(std::move(context)), token_(std::move(token)) {}

FeedService::~FeedService() { Stop(); }

Reactor* FeedService::DoPut(grpc::CallbackServerContext* context) {
  const absl::Status allowed = net::CheckToken(*context, token_);
  if (!allowed.ok()) return new RefusedCall(allowed);
  std::vector<std::unique_ptr<PutStream>> over;
  auto stream = std::make_unique<PutStream>(
      context,
      [this](PutStream& put) { return PutSession(context_, &put).Run(); },
      [this](PutStream* put) { Done(put); });
  PutStream* const put = stream.get();
  {
    absl::MutexLock lock(&mutex_);
    over.swap(done_);
    if (stopping_) {
      return new RefusedCall(absl::UnavailableError("the feed is stopping"));
    }
    if (active_.size() >= kMaxStreams) {
      return new RefusedCall(absl::ResourceExhaustedError(
          absl::StrCat("this feed takes ", kMaxStreams,
                       " streams at a time: try again when one has ended")));
    }
    active_.emplace(put, std::move(stream));
  }
  put->Start();
  return put;
}

void FeedService::Done(PutStream* stream) {
  absl::MutexLock lock(&mutex_);
  const auto found = active_.find(stream);
  done_.push_back(std::move(found->second));
  active_.erase(found);
}

void FeedService::Stop() {
  std::vector<std::unique_ptr<PutStream>> over;
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  for (auto& [put, unused] : active_) put->Cancel();
  const auto all_done = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return active_.empty();
  };
  mutex_.Await(absl::Condition(&all_done));
  over.swap(done_);
}

}  // namespace tfd::data
