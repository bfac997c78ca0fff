#include "data/batch_plan.h"

#include <algorithm>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "data/permutation.h"

namespace tfd::data {
namespace {

// So that products of counts stay within 64 bits.
constexpr uint64_t kMaxRecords = uint64_t{1} << 62;

int64_t DivideUp(int64_t a, int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

absl::Status OutOfBounds(const char* what, int64_t value) {
  return absl::InvalidArgumentError(
      absl::StrCat("a batch plan needs ", what, " of at least 1, not ", value));
}

}  // namespace

absl::StatusOr<BatchPlan> BatchPlan::Make(const BatchPlanOptions& options) {
  if (options.records < 1 || options.records > kMaxRecords) {
    return absl::InvalidArgumentError(
        absl::StrCat("a batch plan needs between 1 and 2^62 records, not ",
                     options.records));
  }
  if (options.batch_size < 1) {
    return OutOfBounds("a batch size", options.batch_size);
  }
  if (options.slots < 1) return OutOfBounds("a number of slots", options.slots);
  if (!options.epochs && !options.steps) {
    return absl::InvalidArgumentError(
        "a batch plan needs an end: set stop.epochs or stop.steps");
  }
  if (options.epochs && *options.epochs < 1) {
    return OutOfBounds("a number of epochs", *options.epochs);
  }
  if (options.steps && *options.steps < 1) {
    return OutOfBounds("a number of steps", *options.steps);
  }
  return BatchPlan(options);
}

BatchPlan::BatchPlan(const BatchPlanOptions& options)
    : options_(options),
      batches_per_epoch_(
          DivideUp(static_cast<int64_t>(options.records), options.batch_size)),
      steps_per_epoch_(DivideUp(batches_per_epoch_, options.slots)),
      total_steps_(std::numeric_limits<int64_t>::max()) {
  if (options.epochs && *options.epochs <= total_steps_ / steps_per_epoch_) {
    total_steps_ = *options.epochs * steps_per_epoch_;
  }
  if (options.steps) total_steps_ = std::min(total_steps_, *options.steps);
}

BatchPosition BatchPlan::At(int64_t step, int64_t slot) const {
  BatchPosition position;
  position.epoch = step / steps_per_epoch_;
  position.batch = step % steps_per_epoch_ * options_.slots + slot;
  position.idle = position.batch >= batches_per_epoch_;
  return position;
}

void BatchPlan::Records(int64_t epoch, int64_t batch,
                        std::vector<uint64_t>* out) const {
  const uint64_t begin = static_cast<uint64_t>(batch) * options_.batch_size;
  const uint64_t end =
      std::min<uint64_t>(begin + options_.batch_size, options_.records);
  out->resize(end - begin);
  if (!options_.shuffle) {
    for (uint64_t i = begin; i < end; ++i) (*out)[i - begin] = i;
    return;
  }
  const Permutation order(options_.records, options_.seed, epoch);
  for (uint64_t i = begin; i < end; ++i) (*out)[i - begin] = order(i);
}

absl::StatusOr<int64_t> BatchSizeOf(const v1::DatasetSpec& spec,
                                    int64_t slots) {
  if (spec.has_batch_size()) return spec.batch_size();
  if (!spec.has_global_batch_size()) {
    return absl::InvalidArgumentError(
        "the dataset has neither batch_size nor global_batch_size");
  }
  const int64_t global = spec.global_batch_size();
  if (slots < 1 || global % slots != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("global_batch_size ", global,
                     " does not divide evenly by the number of workers, ",
                     slots, ": use a multiple of it, or batch_size"));
  }
  return global / slots;
}

int64_t BatchesOfStep(const v1::JobSpec& spec) {
  return spec.strategy().has_accumulate_steps()
             ? spec.strategy().accumulate_steps()
             : 1;
}

absl::StatusOr<int64_t> StepRecordsOf(const v1::JobSpec& spec, int64_t slots) {
  const v1::DatasetSpec& train = spec.data().train();
  const int64_t batches = BatchesOfStep(spec);
  TFD_ASSIGN_OR_RETURN(const int64_t records, BatchSizeOf(train, slots));
  if (train.has_batch_size()) return records * batches;
  if (records % batches != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "global_batch_size ", train.global_batch_size(), " gives each of ",
        slots, " workers ", records,
        " records a step, which do not divide evenly by accumulate_steps, ",
        batches));
  }
  return records;
}

absl::StatusOr<BatchPlan> TrainingBatchPlan(const v1::JobSpec& spec,
                                            uint64_t records, int64_t slots) {
  BatchPlanOptions options;
  options.records = records;
  TFD_ASSIGN_OR_RETURN(options.batch_size, StepRecordsOf(spec, slots));
  options.slots = slots;
  options.seed = spec.seed();
  options.shuffle = spec.data().train().shuffle();
  if (spec.stop().has_epochs()) options.epochs = spec.stop().epochs();
  if (spec.stop().has_steps()) options.steps = spec.stop().steps();
  return BatchPlan::Make(options);
}

absl::StatusOr<BatchPlan> OnePassBatchPlan(uint64_t records,
                                           int64_t batch_size) {
  BatchPlanOptions options;
  options.records = records;
  options.batch_size = batch_size;
  options.epochs = 1;
  return BatchPlan::Make(options);
}

}  // namespace tfd::data
