#include "data/growing_batches.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status.h"

namespace tfd::data {
namespace {

// More than any training takes, and far from where products overflow.
constexpr int64_t kMaxSteps = int64_t{1} << 40;

}  // namespace

GrowingBatches::GrowingBatches(GrowingOptions options)
    : options_(std::move(options)), end_(options_.first_step) {
  length_.segments = options_.first_segment - 1;
  length_.records = options_.former_records;
}

int64_t GrowingBatches::planned_steps() const {
  return options_.steps.value_or(kMaxSteps);
}

absl::Status GrowingBatches::AwaitFirst(absl::Duration timeout) {
  while (parts_.empty()) {
    if (ended_) {
      return absl::InvalidArgumentError(absl::StrCat(
          "pushed dataset ", options_.open.name,
          length_.records > 0
              ? " has ended, and no row of it is there any more"
              : " has ended without a row: what did its producers write?"));
    }
    TFD_RETURN_IF_ERROR(TakeSegment(timeout));
  }
  return absl::OkStatus();
}

absl::Status GrowingBatches::TakeSegment(absl::Duration timeout) {
  TFD_ASSIGN_OR_RETURN(const std::optional<v1::Segment> segment,
                       options_.await(length_.segments + 1, timeout));
  if (segment.has_value()) {
    TFD_RETURN_IF_ERROR(AddPart(*segment));
    length_.segments = segment->number();
    length_.total_steps = end_;
  } else {
    if (length_.records > 0) TFD_RETURN_IF_ERROR(AddRest());
    ended_ = true;
    length_.open = false;
    // And the one that says so.
    length_.total_steps = std::min(end_ + 1, planned_steps());
  }
  if (options_.on_grown) options_.on_grown(length_);
  return absl::OkStatus();
}

BatchPlanOptions GrowingBatches::PlanOptions(const Dataset& dataset) const {
  BatchPlanOptions options;
  options.records = dataset.info().records;
  options.batch_size = options_.batch_size;
  options.slots = options_.slots;
  options.seed = options_.seed;
  options.shuffle = options_.spec.shuffle();
  return options;
}

absl::StatusOr<std::unique_ptr<Dataset>> GrowingBatches::Open(
    std::vector<v1::Partition> partitions) {
  OpenOptions open = options_.open;
  open.partitions = std::move(partitions);
  open.may_be_empty = true;
  return OpenDataset(options_.spec, Preprocess(options_.data), open);
}

absl::Status GrowingBatches::AddPart(const v1::Segment& segment) {
  std::vector<v1::Partition> partitions;
  for (const v1::Partition& partition : segment.partitions()) {
    if (partition.rows() > 0) partitions.push_back(partition);
  }
  if (partitions.empty()) return absl::OkStatus();
  const std::string what = absl::StrCat("segment ", segment.number());
  auto dataset = Open(partitions);
  if (!dataset.ok()) return Annotate(dataset.status(), what);
  const DatasetInfo& info = (*dataset)->info();
  // All of its rows may be left out for their nulls.
  if (info.records == 0) return absl::OkStatus();
  if (info_.source.empty()) {
    info_ = info;
  } else {
    TFD_RETURN_IF_ERROR(CheckSame(info, what));
  }
  BatchPlanOptions plan_options = PlanOptions(**dataset);
  plan_options.epochs = 1;
  TFD_ASSIGN_OR_RETURN(const BatchPlan plan, BatchPlan::Make(plan_options));
  if (options_.epochs != 1) {
    partitions_.insert(partitions_.end(), partitions.begin(), partitions.end());
  }
  length_.records += static_cast<int64_t>(info.records);
  parts_.push_back({end_, *std::move(dataset), plan, segment.number()});
  end_ = parts_.back().end();
  return absl::OkStatus();
}

absl::Status GrowingBatches::CheckSame(const DatasetInfo& info,
                                       const std::string& what) {
  if (info.shape == info_.shape && info.dtype == info_.dtype) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      what, " of ", info_.source, " has records of [",
      absl::StrJoin(info.shape, ", "), "] ", DtypeName(info.dtype),
      ", those before it of [", absl::StrJoin(info_.shape, ", "), "] ",
      DtypeName(info_.dtype), ": have its producers changed?"));
}

absl::Status GrowingBatches::AddRest() {
  if (options_.epochs == 1) return absl::OkStatus();
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> dataset,
                       Open(std::move(partitions_)));
  BatchPlanOptions plan_options = PlanOptions(*dataset);
  plan_options.steps = kMaxSteps;
  if (options_.epochs) plan_options.epochs = *options_.epochs - 1;
  TFD_ASSIGN_OR_RETURN(const BatchPlan plan, BatchPlan::Make(plan_options));
  parts_.push_back({end_, std::move(dataset), plan, /*number=*/0});
  end_ = parts_.back().end();
  return absl::OkStatus();
}

absl::Status GrowingBatches::Read(int64_t step, absl::Duration timeout,
                                  Batch* out) {
  const auto past_the_end = [this, step] {
    return absl::OutOfRangeError(absl::StrCat(
        "step ", step, " is past the end of training: ", length_.total_steps,
        " steps"));
  };
  if (options_.steps && step >= *options_.steps) return past_the_end();
  while (step >= end_ && !ended_) TFD_RETURN_IF_ERROR(TakeSegment(timeout));
  out->step = step;
  if (step >= end_) {
    if (step > end_) return past_the_end();
    out->Resize(0, info_.elements);
    out->epoch = 0;
    out->number = 0;
    out->last = true;
    return absl::OkStatus();
  }
  while (parts_.front().end() <= step) parts_.pop_front();
  const Part& part = parts_.front();
  const BatchPosition position =
      part.plan.At(step - part.first_step, options_.slot);
  out->epoch = part.number > 0 ? 0 : position.epoch + 1;
  // Segments of as many records are not all in the same order.
  BatchPosition ordered = position;
  ordered.epoch += part.number;
  return Annotate(
      ReadPlanned(*part.dataset, part.plan, ordered, &records_, out),
      part.number > 0 ? absl::StrCat("batch ", position.batch, " of segment ",
                                     part.number, " (step ", step, ")")
                      : absl::StrCat("batch ", position.batch, " of epoch ",
                                     out->epoch, " (step ", step, ")"));
}

}  // namespace tfd::data
