// What a worker does when, step by step: for Chrome's trace viewer, Perfetto or
// a test.
#ifndef TFD_WORKER_STEP_TRACE_H_
#define TFD_WORKER_STEP_TRACE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace tfd::worker {

// What the training thread is busy with; one at a time.
enum class Activity { kData, kForward, kBackward, kPush, kWait };

// Records the first steps of a training; afterwards, and where it was told to
// record none, a call costs one comparison. Thread-safe, but for the training
// thread's own calls (BeginStep, Begin, EndStep).
class StepTrace {
 public:
  explicit StepTrace(int64_t steps) : steps_left_(steps) {}

  // On the training thread. A step begins with waiting for its data; an
  // activity ends where the next begins.
  void BeginStep(int64_t step);
  void Begin(Activity activity);
  void EndStep();

  // On any thread: a chunk's gradient has been handed to the exchange, its new
  // parameters have arrived, and have been copied to where they belong.
  void Pushed(uint32_t chunk);
  void Arrived(uint32_t chunk);
  void Copied(uint32_t chunk, absl::Time begin);

  // All of it as Chrome's trace events (JSON); `process` names it in the viewer
  // and `number` sorts it.
  std::string ToJson(const std::string& process, int64_t number) const;

 private:
  // A span on one of the viewer's rows.
  struct Span {
    const char* name;
    int row;
    int64_t step;
    // -1: of no chunk.
    int64_t chunk;
    absl::Time begin;
    absl::Time end;
  };

  void EndActivity(absl::Time now);
  void Add(const Span& span) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The training thread's own.
  int64_t steps_left_;
  absl::Time step_begin_;
  const char* activity_ = nullptr;
  absl::Time activity_begin_;

  // Between BeginStep and EndStep of a step that is recorded.
  std::atomic<bool> recording_{false};

  mutable absl::Mutex mutex_;
  int64_t step_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Span> spans_ ABSL_GUARDED_BY(mutex_);
  // When each chunk of the step was pushed: in backward, or with the rest.
  std::vector<absl::Time> pushed_ ABSL_GUARDED_BY(mutex_);
  absl::Time rest_pushed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_STEP_TRACE_H_
