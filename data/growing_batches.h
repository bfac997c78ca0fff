// The batches of a pushed dataset that grows while a job trains on it: one
// segment after the other, as the coordinator publishes them, each of them
// countable. So every worker computes the same from the same segments, and the
// cursor is the step (docs/adr/013-growing-datasets.md).
//
//   segment s of n records takes ⌈⌈n / batch size⌉ / slots⌉ steps, in a random
//   order of its own; then comes segment s + 1.
//   Once the dataset has ended: where there are more epochs, they are over all
//   records, as of a dataset that is all there. Then one step more in which
//   every slot is idle and says that it is the last one.
#ifndef TFD_DATA_GROWING_BATCHES_H_
#define TFD_DATA_GROWING_BATCHES_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "data/batch_plan.h"
#include "data/batch_source.h"
#include "data/dataset.h"
#include "tfd/v1/job_spec.pb.h"
#include "tfd/v1/task.pb.h"

namespace tfd::data {

// Segment `number`; nothing where the dataset has ended before it;
// DeadlineExceeded where it is not there within `timeout`.
using AwaitSegment = std::function<absl::StatusOr<std::optional<v1::Segment>>(
    int64_t number, absl::Duration timeout)>;

// What is known of the length of the training.
struct GrowingLength {
  // Segments so far, their records, and the steps that end with them; once
  // `open` is false, all steps.
  int64_t segments = 0;
  int64_t records = 0;
  int64_t total_steps = 0;
  bool open = true;
};

struct GrowingOptions {
  // With defaults filled in.
  v1::DatasetSpec spec;
  v1::DataSpec data;
  OpenOptions open;
  AwaitSegment await;
  // Records of one slot in one step.
  int64_t batch_size = 0;
  int64_t slots = 1;
  int64_t slot = 0;
  uint64_t seed = 1;
  // The first segment that is needed still, the step at which it begins and the
  // records of those before it.
  int64_t first_segment = 1;
  int64_t first_step = 0;
  int64_t former_records = 0;
  // When training ends; the dataset's end is that of the first epoch.
  std::optional<int64_t> epochs;
  std::optional<int64_t> steps;
  // Told of every segment that is taken up, and of the end; on the thread that
  // reads.
  std::function<void(const GrowingLength&)> on_grown;
};

class GrowingBatches final : public BatchSource {
 public:
  explicit GrowingBatches(GrowingOptions options);

  // Waits for the first segment with records, which says what a record is.
  // DeadlineExceeded: call it again. InvalidArgument where the dataset ends
  // without any.
  absl::Status AwaitFirst(absl::Duration timeout);
  // After AwaitFirst; info().records are those of the first segment.
  const DatasetInfo& info() const { return info_; }
  // The length that is planned for: the job's, or more than it can ever be.
  int64_t planned_steps() const;
  GrowingLength length() const { return length_; }

  absl::Status Read(int64_t step, absl::Duration timeout, Batch* out) override;
  int64_t elements() const override { return info_.elements; }
  int64_t largest_batch() const override { return 0; }
  std::string source() const override { return info_.source; }

 private:
  // Records that are read in a row of steps.
  struct Part {
    int64_t first_step = 0;
    std::unique_ptr<Dataset> dataset;
    BatchPlan plan;
    // Its number, as far as the order of its records goes.
    int64_t number = 0;
    int64_t end() const { return first_step + plan.total_steps(); }
  };

  // The next segment becomes a part, or the dataset ends.
  absl::Status TakeSegment(absl::Duration timeout);
  absl::Status AddPart(const v1::Segment& segment);
  absl::Status CheckSame(const DatasetInfo& info, const std::string& what);
  // All records again, for the epochs after the first.
  absl::Status AddRest();
  absl::StatusOr<std::unique_ptr<Dataset>> Open(
      std::vector<v1::Partition> partitions);
  BatchPlanOptions PlanOptions(const Dataset& dataset) const;

  const GrowingOptions options_;
  DatasetInfo info_;
  // Those that steps may still be read from; empty segments are none.
  std::deque<Part> parts_;
  // Of all segments, where there are more epochs.
  std::vector<v1::Partition> partitions_;
  GrowingLength length_;
  // The step after the last part.
  int64_t end_;
  // The dataset has ended.
  bool ended_ = false;
  std::vector<uint64_t> records_;
};

}  // namespace tfd::data

#endif  // TFD_DATA_GROWING_BATCHES_H_
