#include "data/prefetcher.h"

#include <limits>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/units.h"

namespace tfd::data {
namespace {

constexpr int kMaxDepth = 1024;
// Of one batch; a larger one is a mistake and would end in an allocation that
// fails.
constexpr int64_t kMaxBatchBytes = int64_t{64} << 30;

}  // namespace

absl::StatusOr<std::unique_ptr<Prefetcher>> Prefetcher::Start(
    const Dataset* dataset, const BatchPlan& plan,
    const PrefetcherOptions& options) {
  const DatasetInfo& info = dataset->info();
  if (plan.records() != info.records) {
    return absl::InvalidArgumentError(
        absl::StrCat("the batch plan is for ", plan.records(), " records, and ",
                     info.source, " has ", info.records));
  }
  if (options.slot < 0 || options.slot >= plan.slots()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "slot ", options.slot, " is not among the ", plan.slots(), " slots"));
  }
  if (options.first_step < 0 || options.depth < 2 ||
      options.depth > kMaxDepth) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a prefetcher cannot begin at step ", options.first_step,
        " with a depth of ", options.depth, " (2 to ", kMaxDepth, ")"));
  }
  const auto largest = static_cast<int64_t>(
      std::min<uint64_t>(plan.batch_size(), plan.records()));
  const auto element_bytes = static_cast<int64_t>(sizeof(float));
  if (largest > kMaxBatchBytes / element_bytes / info.elements) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a batch of ", FormatCount(largest), " records of ",
        FormatCount(info.elements), " numbers is larger than ",
        FormatBytes(kMaxBatchBytes), ": use a smaller batch_size"));
  }
  auto prefetcher = absl::WrapUnique(new Prefetcher(dataset, plan, options));
  for (Batch& batch : prefetcher->ring_) batch.Resize(largest, info.elements);
  prefetcher->thread_ = std::thread(&Prefetcher::Run, prefetcher.get());
  return prefetcher;
}

Prefetcher::Prefetcher(const Dataset* dataset, const BatchPlan& plan,
                       const PrefetcherOptions& options)
    : dataset_(dataset),
      plan_(plan),
      options_(options),
      ring_(options.depth),
      next_(options.first_step),
      taken_(options.first_step),
      ready_(options.first_step) {}

Prefetcher::~Prefetcher() {
  Stop();
  if (thread_.joinable()) thread_.join();
}

void Prefetcher::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

void Prefetcher::Run() {
  for (int64_t step = options_.first_step; step < plan_.total_steps(); ++step) {
    {
      absl::MutexLock lock(&mutex_);
      const auto has_room = [this, step]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
        return stopped_ || step - taken_ < options_.depth;
      };
      mutex_.Await(absl::Condition(&has_room));
      if (stopped_) return;
    }
    const absl::Status status = Read(step, &ring_[step % options_.depth]);
    absl::MutexLock lock(&mutex_);
    if (!status.ok()) {
      error_ = status;
      return;
    }
    ready_ = step + 1;
  }
}

absl::Status Prefetcher::Read(int64_t step, Batch* batch) {
  const BatchPosition position = plan_.At(step, options_.slot);
  batch->step = step;
  batch->epoch = position.epoch;
  batch->number = position.batch;
  if (position.idle) {
    batch->Resize(0, dataset_->info().elements);
    return absl::OkStatus();
  }
  plan_.Records(position.epoch, position.batch, &records_);
  return Annotate(dataset_->ReadBatch(records_, batch),
                  absl::StrCat("batch ", position.batch, " of epoch ",
                               position.epoch, " (step ", step, ")"));
}

absl::StatusOr<const Batch*> Prefetcher::Next(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  // The batch given before is the thread's again.
  taken_ = next_;
  if (next_ >= plan_.total_steps()) {
    return absl::OutOfRangeError(absl::StrCat(
        "step ", next_, " is past the end of training: ", plan_.total_steps(),
        " steps"));
  }
  const auto has_news = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stopped_ || next_ < ready_ || !error_.ok();
  };
  const bool in_time =
      mutex_.AwaitWithTimeout(absl::Condition(&has_news), timeout);
  if (stopped_) {
    return absl::CancelledError("the reading of batches was stopped");
  }
  if (next_ < ready_) return &ring_[next_++ % options_.depth];
  if (in_time) return error_;
  const BatchPosition position = plan_.At(next_, options_.slot);
  return absl::DeadlineExceededError(absl::StrCat(
      "waited ", tfd::FormatDuration(timeout), " for batch ", position.batch,
      " of epoch ", position.epoch, " (step ", next_, ") to be read from ",
      dataset_->info().source, ": is its disk or file server slow or away?"));
}

}  // namespace tfd::data
