// The training of one worker: step after step, its batch's gradient to the
// exchange and the new parameters back. Sees neither how gradients travel nor
// where the model computes.
#ifndef TFD_WORKER_TRAINING_LOOP_H_
#define TFD_WORKER_TRAINING_LOOP_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "data/batch_plan.h"
#include "data/prefetcher.h"
#include "ps/shard_client.h"
#include "tfd/v1/task.pb.h"
#include "worker/chunk_tracker.h"
#include "worker/model.h"
#include "worker/step_trace.h"
#include "worker/task_control.h"

namespace tfd::worker {

struct TrainingOptions {
  // The seat of this worker.
  int64_t slot = 0;
  uint64_t seed = 1;
  // Records whose gradient is computed at a time; 0: all that a step takes.
  int64_t batch_size = 0;
  // Workers there are.
  int64_t slots = 1;
  // 0: not known.
  int64_t steps_per_epoch = 0;
  // How long a batch, or the other workers in a step, may take.
  absl::Duration batch_patience = absl::Minutes(10);
  absl::Duration patience = absl::Minutes(10);
};

// None is owned; all outlive the loop.
struct TrainingParts {
  Model* model = nullptr;
  ps::Exchange* exchange = nullptr;
  data::Prefetcher* batches = nullptr;
  const TaskControl* control = nullptr;
  // May be null.
  StepTrace* trace = nullptr;
  // About twice a second, after the first and after the last step. May be
  // empty.
  std::function<void(const v1::Metrics&)> report;
};

// What the model draws in a step (dropout) follows from this, so that whoever
// computes a slot again gets the same.
uint64_t StepSeed(uint64_t seed, int64_t epoch, int64_t step, int64_t slot);

// Thread-compatible.
class TrainingLoop {
 public:
  TrainingLoop(const TrainingOptions& options, const TrainingParts& parts)
      : options_(options),
        parts_(parts),
        trace_(parts.trace == nullptr ? no_trace_ : *parts.trace),
        tracker_(parts.exchange->layout()) {}

  // From exchange->step() on, to the last batch there is; gives the number of
  // steps that are taken then. A failure says in which step and batch; a loss
  // that is no number is one.
  absl::StatusOr<int64_t> Run();

 private:
  // Since the last report.
  struct Window {
    absl::Time begin;
    Scores scores;
    absl::Duration waited;
  };

  StepEvents Events();
  // The batch of a step; null where there is no such step.
  absl::StatusOr<const data::Batch*> NextBatch();
  absl::Status RunStep(int64_t step, const data::Batch& batch);
  absl::Status Compute(const data::Batch& batch);
  void PushEarly(uint32_t chunk);
  void ReportNowAndThen();
  void Report();

  const TrainingOptions options_;
  const TrainingParts parts_;
  StepTrace no_trace_{0};
  StepTrace& trace_;
  ChunkTracker tracker_;
  // Steps that are taken, and how many of them are reported.
  int64_t taken_ = 0;
  int64_t reported_ = 0;
  // Of the pushes in a step's backward.
  absl::Status pushed_;
  Window window_;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_TRAINING_LOOP_H_
