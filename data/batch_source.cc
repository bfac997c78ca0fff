#include "data/batch_source.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace tfd::data {
namespace {

class PlannedBatchSource final : public BatchSource {
 public:
  PlannedBatchSource(const Dataset* dataset, const BatchPlan& plan,
                     int64_t slot)
      : dataset_(dataset), plan_(plan), slot_(slot) {}

  absl::Status Read(int64_t step, absl::Duration, Batch* out) override {
    if (step >= plan_.total_steps()) {
      return absl::OutOfRangeError(absl::StrCat(
          "step ", step, " is past the end of training: ", plan_.total_steps(),
          " steps"));
    }
    const BatchPosition position = plan_.At(step, slot_);
    out->step = step;
    out->epoch = position.epoch;
    return Annotate(ReadPlanned(*dataset_, plan_, position, &records_, out),
                    absl::StrCat("batch ", position.batch, " of epoch ",
                                 position.epoch, " (step ", step, ")"));
  }

  int64_t elements() const override { return dataset_->info().elements; }
  int64_t largest_batch() const override {
    return static_cast<int64_t>(
        std::min<uint64_t>(plan_.batch_size(), plan_.records()));
  }
  std::string source() const override { return dataset_->info().source; }

 private:
  const Dataset* const dataset_;
  const BatchPlan plan_;
  const int64_t slot_;
  std::vector<uint64_t> records_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<BatchSource>> PlannedBatches(
    const Dataset* dataset, const BatchPlan& plan, int64_t slot) {
  const DatasetInfo& info = dataset->info();
  if (plan.records() != info.records) {
    return absl::InvalidArgumentError(
        absl::StrCat("the batch plan is for ", plan.records(), " records, and ",
                     info.source, " has ", info.records));
  }
  if (slot < 0 || slot >= plan.slots()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "slot ", slot, " is not among the ", plan.slots(), " slots"));
  }
  return std::make_unique<PlannedBatchSource>(dataset, plan, slot);
}

absl::Status ReadPlanned(const Dataset& dataset, const BatchPlan& plan,
                         const BatchPosition& position,
                         std::vector<uint64_t>* records, Batch* out) {
  out->number = position.batch;
  out->last = false;
  if (position.idle) {
    out->Resize(0, dataset.info().elements);
    return absl::OkStatus();
  }
  plan.Records(position.epoch, position.batch, records);
  absl::Status read = dataset.ReadBatch(*records, out);
  // To whoever reads batches that would say: ask again.
  if (absl::IsDeadlineExceeded(read)) {
    read = absl::UnavailableError(read.message());
  }
  return read;
}

}  // namespace tfd::data
