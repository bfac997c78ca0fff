// Which records are in which batch, and which batch is whose at which step:
// arithmetic alone, so that every process computes the same and a cursor is one
// integer.
//
//   batches per epoch b = ⌈records / batch size⌉
//   steps per epoch     = ⌈b / slots⌉
//   slot r takes batch t · slots + r at step t of an epoch; where there is no
//   such batch, it is idle.
//
// Every record is in exactly one batch of an epoch; the last batch may be
// short.
#ifndef TFD_DATA_BATCH_PLAN_H_
#define TFD_DATA_BATCH_PLAN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::data {

struct BatchPlanOptions {
  // How many there are; at least 1.
  uint64_t records = 0;
  // Records in a batch; at least 1.
  int64_t batch_size = 0;
  // How many batches a step takes together; at least 1.
  int64_t slots = 1;
  // The order of the records follows from it and the number of the epoch.
  uint64_t seed = 1;
  // A new order for every epoch; else the records' own.
  bool shuffle = false;
  // When training ends: whichever comes first. At least one of them.
  std::optional<int64_t> epochs;
  std::optional<int64_t> steps;
};

// Where a slot is at a step.
struct BatchPosition {
  int64_t epoch = 0;
  // The number of the batch in its epoch.
  int64_t batch = 0;
  // There is no such batch: the slot has nothing to do in this step.
  bool idle = false;
};

// Immutable, thread-safe.
class BatchPlan {
 public:
  // InvalidArgument names the option that is out of bounds.
  static absl::StatusOr<BatchPlan> Make(const BatchPlanOptions& options);

  int64_t batches_per_epoch() const { return batches_per_epoch_; }
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  // Steps until training ends.
  int64_t total_steps() const { return total_steps_; }
  uint64_t records() const { return options_.records; }
  int64_t batch_size() const { return options_.batch_size; }
  int64_t slots() const { return options_.slots; }

  // Of step `step`, counted over all epochs from 0, for `slot`.
  BatchPosition At(int64_t step, int64_t slot) const;

  // The numbers of the records of a batch (0 <= batch < batches_per_epoch), in
  // their order, into `out`.
  void Records(int64_t epoch, int64_t batch, std::vector<uint64_t>* out) const;

 private:
  explicit BatchPlan(const BatchPlanOptions& options);

  BatchPlanOptions options_;
  int64_t batches_per_epoch_;
  int64_t steps_per_epoch_;
  int64_t total_steps_;
};

// The spec's batch size of one worker: batch_size, or global_batch_size divided
// by `slots`. InvalidArgument where neither is given or it does not divide.
absl::StatusOr<int64_t> BatchSizeOf(const v1::DatasetSpec& spec, int64_t slots);

// How many batches a worker adds up in a step (accumulate_steps), and the
// records in them.
int64_t BatchesOfStep(const v1::JobSpec& spec);
absl::StatusOr<int64_t> StepRecordsOf(const v1::JobSpec& spec, int64_t slots);

// The plan of a job's training on `records` records; what a worker gives in a
// step is one batch of it.
absl::StatusOr<BatchPlan> TrainingBatchPlan(const v1::JobSpec& spec,
                                            uint64_t records, int64_t slots);

// One pass over all records in their own order, for evaluation and inference.
absl::StatusOr<BatchPlan> OnePassBatchPlan(uint64_t records,
                                           int64_t batch_size);

}  // namespace tfd::data

#endif  // TFD_DATA_BATCH_PLAN_H_
