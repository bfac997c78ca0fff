#include "client/follow.h"

#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "client/format.h"
#include "client/progress.h"
#include "common/status.h"

namespace tfd::client {
namespace {

constexpr absl::Duration kSignalLookInterval = absl::Milliseconds(100);
// A cancelled job ends within its tasks' grace.
constexpr absl::Duration kCancelTimeout = absl::Seconds(15);

// What the watching thread and the one at the terminal share.
struct Shared {
  absl::Mutex mutex;
  v1::Job job ABSL_GUARDED_BY(mutex);
  bool ended ABSL_GUARDED_BY(mutex) = false;
  absl::Status status ABSL_GUARDED_BY(mutex);
};

}  // namespace

absl::StatusOr<Followed> FollowJob(const Context& context,
                                   CoordinatorClient& client,
                                   const std::string& id,
                                   const FollowOptions& options) {
  Shared shared;
  Canceller canceller;
  std::thread watcher([&] {
    absl::StatusOr<v1::Job> last = client.Watch(
        id,
        [&](const v1::Job& job) {
          absl::MutexLock lock(&shared.mutex);
          shared.job = job;
          if (HasEnded(job.state())) context.interrupt->Wake();
        },
        canceller);
    absl::MutexLock lock(&shared.mutex);
    shared.ended = true;
    shared.status = last.status();
    context.interrupt->Wake();
  });
  ProgressLine progress(context.err, context.err_is_terminal, context.columns);
  Followed result;
  absl::Status status;
  absl::Time cancel_deadline = absl::InfiniteFuture();
  while (true) {
    int signal_number = context.interrupt->Wait(kSignalLookInterval);
    {
      absl::MutexLock lock(&shared.mutex);
      result.job = shared.job;
      if (shared.ended) {
        status = shared.status;
        break;
      }
    }
    if (!result.job.id().empty()) progress.Show(result.job, absl::Now());
    if (options.supervise) status = options.supervise();
    if (!status.ok()) break;
    if (signal_number != 0) {
      progress.Finish();
      if (!options.interrupt_cancels || result.interrupted) {
        result.interrupted = true;
        break;
      }
      result.interrupted = true;
      *context.err << "interrupted: cancelling " << id
                   << " (again to give up at once)" << std::endl;
      client.Cancel(id, "interrupted by its user").IgnoreError();
      cancel_deadline = absl::Now() + kCancelTimeout;
    }
    if (absl::Now() > cancel_deadline) break;
  }
  canceller.Cancel();
  watcher.join();
  if (status.ok() && !result.job.id().empty()) {
    progress.Show(result.job, absl::Now());
  }
  progress.Finish();
  if (!status.ok()) return status;
  return result;
}

absl::Status RunInterruptibly(
    const Context& context,
    const std::function<absl::Status(Canceller&)>& stream) {
  Canceller canceller;
  absl::Mutex mutex;
  bool done = false;
  absl::Status status;
  std::thread runner([&] {
    absl::Status result = stream(canceller);
    absl::MutexLock lock(&mutex);
    status = result;
    done = true;
    context.interrupt->Wake();
  });
  while (true) {
    int signal_number = context.interrupt->Wait(kSignalLookInterval);
    if (signal_number != 0) canceller.Cancel();
    absl::MutexLock lock(&mutex);
    if (done) break;
  }
  runner.join();
  return status;
}

}  // namespace tfd::client
