// The one thread that changes the cluster's state.
//
// Handlers post work. The loop takes all that waits as one batch: each piece of
// work decides on top of what was decided before it (the ledger applies at
// once, unseen by anybody), then one Append makes the batch's events durable,
// then effects and answers are released. A journal that fails ends the
// coordinator before anybody was told anything that is not durable.
//
// Reads need no loop: they are served from what was published (board.h).
#ifndef TFD_DAEMON_COORDINATOR_LOOP_EVENT_LOOP_H_
#define TFD_DAEMON_COORDINATOR_LOOP_EVENT_LOOP_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "daemon/coordinator/decide/context.h"
#include "daemon/coordinator/journal/journal.h"
#include "daemon/coordinator/loop/outlet.h"

namespace tfd::coordinator {

// What to do once the decision is durable; may be empty. Must not block.
using Answer = std::function<void(const Context&)>;
// Decides, by recording events. Must not block.
using Work = std::function<Answer(const Context&)>;

struct LoopOptions {
  Terms terms;
  // How often time is looked at; InfiniteDuration: only by LookAtTimeNow.
  absl::Duration tick = absl::Milliseconds(100);
  size_t max_queue = 16384;
  size_t max_batch = 1024;
  // A snapshot replaces the journal's events after so many.
  uint64_t compact_every = 10000;
  // How long one Append may take before the coordinator gives up.
  absl::Duration journal_patience = absl::Seconds(90);
};

// Thread-safe, except where noted.
class EventLoop {
 public:
  struct Dependencies {
    Journal* journal = nullptr;
    const Clock* clock = nullptr;
    Outlet* outlet = nullptr;
    // Called once, on the loop's thread, when the journal has failed; the
    // process must then end.
    std::function<void(const absl::Status&)> on_fatal;
  };

  EventLoop(const LoopOptions& options, Dependencies dependencies);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Reads the journal, publishes what is there, and starts the thread. The
  // cluster's id. Once.
  absl::StatusOr<std::string> Start();
  // Work that was taken is done; what waits is dropped (its destructors say so
  // to whoever waits). No work runs afterwards.
  void Stop();

  // ResourceExhausted where too much waits already; Unavailable after Stop.
  absl::Status Post(Work work);
  // For what is bounded otherwise (one message per open stream): always taken.
  void PostAlways(Work work);
  // For tests: a look at the time as the next piece of work.
  void LookAtTimeNow();

 private:
  absl::Status Recover(std::string* cluster_id);
  void Run();
  // Takes what waits, or what there is when the tick is due.
  std::vector<Work> NextBatch(bool* tick_is_due);
  // The one function that decides, journals and releases. False: the journal
  // has failed.
  bool RunBatch(std::vector<Work>& batch, bool tick_is_due);
  absl::Status Commit(const Ledger::Batch& batch);
  void CompactIfDue();
  void ForgetEndedJobs(const std::vector<Effect>& effects);

  const LoopOptions options_;
  const Dependencies dependencies_;

  // The loop thread's own.
  Ledger ledger_;
  Runtime runtime_;
  uint64_t term_ = 0;
  uint64_t compacted_index_ = 0;
  bool violation_logged_ = false;

  absl::Mutex mutex_;
  std::deque<Work> queue_ ABSL_GUARDED_BY(mutex_);
  bool look_now_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_LOOP_EVENT_LOOP_H_
