#include "daemon/coordinator/service/followers.h"

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "daemon/coordinator/codec/job_codec.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/decide/jobs.h"

namespace tfd::coordinator {
namespace {

constexpr absl::Duration kShortestInterval = absl::Milliseconds(100);
// Events sent between two looks whether the reader keeps up.
constexpr size_t kEventsPerRead = 200;

// Keeps a watcher alive as long as its call.
template <typename Message>
void TieTo(const typename ReplyStream<Message>::Pointer& stream,
           std::shared_ptr<JobWatcher> watcher) {
  stream->OnEnd([watcher = std::move(watcher)] {});
}

class JobFollower : public JobWatcher,
                    public std::enable_shared_from_this<JobFollower> {
 public:
  JobFollower(const Clock* clock, const ReplyStream<v1::Job>::Pointer& stream)
      : clock_(clock), stream_(stream) {}

  void OnJob(const JobSnapshot& job) override {
    {
      absl::MutexLock lock(&mutex_);
      waiting_ = job;
    }
    Proceed(clock_->Now());
  }
  void OnTick(absl::Time now) override { Proceed(now); }

 private:
  void Proceed(absl::Time now) {
    JobSnapshot next;
    {
      absl::MutexLock lock(&mutex_);
      // The end is told at once.
      if (waiting_ == nullptr || writing_ ||
          (now - last_sent_ < kShortestInterval && !HasEnded(*waiting_))) {
        return;
      }
      next = std::move(waiting_);
      waiting_ = nullptr;
      writing_ = true;
      last_sent_ = now;
    }
    const auto stream = stream_.lock();
    if (stream == nullptr) return;
    stream->Write(*next, [self = shared_from_this()] {
      {
        absl::MutexLock lock(&self->mutex_);
        self->writing_ = false;
      }
      self->Proceed(self->clock_->Now());
    });
    if (HasEnded(*next)) stream->Close(absl::OkStatus());
  }

  const Clock* const clock_;
  // The stream holds the follower.
  const std::weak_ptr<ReplyStream<v1::Job>> stream_;
  absl::Mutex mutex_;
  JobSnapshot waiting_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time last_sent_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

class EventFollower : public JobWatcher,
                      public std::enable_shared_from_this<EventFollower> {
 public:
  EventFollower(EventLoop* loop, v1::ReadEventsRequest request,
                const ReplyStream<v1::Event>::Pointer& stream)
      : loop_(loop),
        request_(std::move(request)),
        stream_(stream),
        next_(request_.from_sequence()) {}

  // Asks the loop for what comes next, unless it is at it already.
  void Pull() {
    {
      absl::MutexLock lock(&mutex_);
      if (pulling_) {
        pull_again_ = true;
        return;
      }
      pulling_ = true;
    }
    const absl::Status posted =
        loop_->Post([self = shared_from_this()](const Context&) -> Answer {
          // Read once durable.
          return [self](const Context& durable) { self->Read(durable); };
        });
    const auto stream = stream_.lock();
    if (!posted.ok() && stream != nullptr) stream->Close(posted);
  }

  void OnJob(const JobSnapshot&) override { Pull(); }
  void OnTick(absl::Time) override {}

 private:
  void Read(const Context& context) {
    const auto stream = stream_.lock();
    if (stream == nullptr || stream->closed()) return;
    const absl::StatusOr<const Job*> job =
        RequireJob(context.state(), request_.id());
    if (!job.ok()) return stream->Close(job.status());
    std::vector<v1::Event> events;
    bool more = false;
    for (const EventText& event : (*job)->events) {
      if (event.sequence < next_) continue;
      if (events.size() == kEventsPerRead) {
        more = true;
        break;
      }
      events.push_back(EncodeEventText(request_.id(), event));
    }
    if (!events.empty()) next_ = events.back().sequence() + 1;
    Write(std::move(events), more, IsEnd((*job)->state), stream);
  }

  void Write(std::vector<v1::Event> events, bool more, bool ended,
             const ReplyStream<v1::Event>::Pointer& stream) {
    const bool last = !more && (ended || !request_.follow());
    if (events.empty() && !last) return Done();
    for (size_t i = 0; i < events.size(); ++i) {
      std::function<void()> written;
      if (i + 1 == events.size() && !last) {
        written = [self = shared_from_this(), more] {
          {
            absl::MutexLock lock(&self->mutex_);
            self->pull_again_ = self->pull_again_ || more;
          }
          self->Done();
        };
      }
      stream->Write(std::move(events[i]), std::move(written));
    }
    if (last) stream->Close(absl::OkStatus());
  }

  void Done() {
    {
      absl::MutexLock lock(&mutex_);
      pulling_ = false;
      if (!pull_again_) return;
      pull_again_ = false;
    }
    Pull();
  }

  EventLoop* const loop_;
  const v1::ReadEventsRequest request_;
  const std::weak_ptr<ReplyStream<v1::Event>> stream_;
  // The loop's.
  uint64_t next_;
  absl::Mutex mutex_;
  bool pulling_ ABSL_GUARDED_BY(mutex_) = false;
  bool pull_again_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

bool HasEnded(const v1::Job& job) {
  return job.state() == v1::SUCCEEDED || job.state() == v1::FAILED ||
         job.state() == v1::CANCELLED;
}

void FollowJob(const ServiceDependencies& dependencies, const std::string& id,
               const ReplyStream<v1::Job>::Pointer& stream) {
  auto follower = std::make_shared<JobFollower>(dependencies.clock, stream);
  dependencies.board->Watch(id, follower);
  TieTo<v1::Job>(stream, follower);
  const JobSnapshot job = dependencies.board->FindJob(id);
  if (job == nullptr) return stream->Close(RequireJob(State(), id).status());
  follower->OnJob(job);
}

void FollowEvents(const ServiceDependencies& dependencies,
                  const v1::ReadEventsRequest& request,
                  const ReplyStream<v1::Event>::Pointer& stream) {
  auto follower =
      std::make_shared<EventFollower>(dependencies.loop, request, stream);
  if (request.follow()) dependencies.board->Watch(request.id(), follower);
  TieTo<v1::Event>(stream, follower);
  follower->Pull();
}

}  // namespace tfd::coordinator
