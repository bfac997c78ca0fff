// Where the batches of one slot come from, step after step: from a dataset that
// is all there, by arithmetic; or from one that grows (growing_batches.h).
#ifndef TFD_DATA_BATCH_SOURCE_H_
#define TFD_DATA_BATCH_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "data/batch_plan.h"
#include "data/dataset.h"

namespace tfd::data {

// Thread-compatible: one thread reads, in the order of steps.
class BatchSource {
 public:
  virtual ~BatchSource() = default;

  // The batch of `step`, which sets all of it; of size 0 where the slot is idle
  // in this step. OutOfRange where training ends before it. DeadlineExceeded,
  // after `timeout`, where it is not there yet: it may be asked for again.
  virtual absl::Status Read(int64_t step, absl::Duration timeout,
                            Batch* out) = 0;

  // Numbers in one record.
  virtual int64_t elements() const = 0;
  // Records in the largest batch there can be.
  virtual int64_t largest_batch() const = 0;
  // Where the records come from, for messages.
  virtual std::string source() const = 0;
};

// The batches of `slot` of a plan. `dataset` outlives it. InvalidArgument where
// they do not fit each other.
absl::StatusOr<std::unique_ptr<BatchSource>> PlannedBatches(
    const Dataset* dataset, const BatchPlan& plan, int64_t slot);

// The batch at `position` of a plan, read from its dataset; `records` is room
// for their numbers. Never DeadlineExceeded.
absl::Status ReadPlanned(const Dataset& dataset, const BatchPlan& plan,
                         const BatchPosition& position,
                         std::vector<uint64_t>* records, Batch* out);

}  // namespace tfd::data

#endif  // TFD_DATA_BATCH_SOURCE_H_
