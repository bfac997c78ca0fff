#include "data/prefetcher.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/units.h"

namespace tfd::data {
namespace {

constexpr int kMaxDepth = 1024;
// How long one wait for a source goes on before Stop is heard.
constexpr absl::Duration kReadSlice = absl::Milliseconds(200);
// Of one batch; a larger one is a mistake and would end in an allocation that
// fails.
constexpr int64_t kMaxBatchBytes = int64_t{64} << 30;

}  // namespace

absl::StatusOr<std::unique_ptr<Prefetcher>> Prefetcher::Start(
    const Dataset* dataset, const BatchPlan& plan,
    const PrefetcherOptions& options) {
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<BatchSource> batches,
                       PlannedBatches(dataset, plan, options.slot));
  return Start(std::move(batches), options);
}

absl::StatusOr<std::unique_ptr<Prefetcher>> Prefetcher::Start(
    std::unique_ptr<BatchSource> batches, const PrefetcherOptions& options) {
  if (options.first_step < 0 || options.depth < 2 ||
      options.depth > kMaxDepth) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a prefetcher cannot begin at step ", options.first_step,
        " with a depth of ", options.depth, " (2 to ", kMaxDepth, ")"));
  }
  const int64_t largest = batches->largest_batch();
  const int64_t elements = batches->elements();
  const auto element_bytes = static_cast<int64_t>(sizeof(float));
  if (largest > kMaxBatchBytes / element_bytes / elements) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a batch of ", FormatCount(largest), " records of ",
        FormatCount(elements), " numbers is larger than ",
        FormatBytes(kMaxBatchBytes), ": use a smaller batch_size"));
  }
  auto prefetcher =
      absl::WrapUnique(new Prefetcher(std::move(batches), options));
  for (Batch& batch : prefetcher->ring_) batch.Resize(largest, elements);
  prefetcher->thread_ = std::thread(&Prefetcher::Run, prefetcher.get());
  return prefetcher;
}

Prefetcher::Prefetcher(std::unique_ptr<BatchSource> batches,
                       const PrefetcherOptions& options)
    : batches_(std::move(batches)),
      options_(options),
      source_(batches_->source()),
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

bool Prefetcher::AwaitRoom(int64_t step) {
  absl::MutexLock lock(&mutex_);
  const auto has_room = [this, step]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stopped_ || step - taken_ < options_.depth;
  };
  mutex_.Await(absl::Condition(&has_room));
  return !stopped_;
}

bool Prefetcher::TakeResult(int64_t step, const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  waits_for_.clear();
  if (status.ok()) {
    ready_ = step + 1;
  } else if (absl::IsDeadlineExceeded(status)) {
    waits_for_ = std::string(status.message());
  } else {
    error_ = status;
  }
  return !stopped_ && error_.ok();
}

void Prefetcher::Run() {
  int64_t step = options_.first_step;
  while (AwaitRoom(step)) {
    const absl::Status status =
        batches_->Read(step, kReadSlice, &ring_[step % options_.depth]);
    if (!TakeResult(step, status)) return;
    if (status.ok()) ++step;
  }
}

absl::StatusOr<const Batch*> Prefetcher::Next(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  // The batch given before is the thread's again.
  taken_ = next_;
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
  return absl::DeadlineExceededError(
      waits_for_.empty()
          ? absl::StrCat("waited ", tfd::FormatDuration(timeout),
                         " for the batch of step ", next_, " to be read from ",
                         source_, ": is its disk or file server slow or away?")
          : waits_for_);
}

}  // namespace tfd::data
