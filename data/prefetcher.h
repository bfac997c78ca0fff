// Batches of one slot, prepared ahead of their use on a thread of their own.
#ifndef TFD_DATA_PREFETCHER_H_
#define TFD_DATA_PREFETCHER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "data/batch_plan.h"
#include "data/batch_source.h"
#include "data/dataset.h"

namespace tfd::data {

struct PrefetcherOptions {
  // Whose batches, of a plan.
  int64_t slot = 0;
  // The first step wanted, counted over all epochs: where a checkpoint goes on.
  int64_t first_step = 0;
  // The number of batches held, the one in use included; at least 2.
  int depth = 4;
};

// Reads a source's batches in order, never more than `depth` ahead, into
// buffers that are reused. One thread consumes (Next); Stop may be called from
// any other.
class Prefetcher {
 public:
  // `dataset` is not owned and outlives the prefetcher. InvalidArgument where
  // plan and dataset do not fit or an option is out of bounds.
  static absl::StatusOr<std::unique_ptr<Prefetcher>> Start(
      const Dataset* dataset, const BatchPlan& plan,
      const PrefetcherOptions& options);
  static absl::StatusOr<std::unique_ptr<Prefetcher>> Start(
      std::unique_ptr<BatchSource> batches, const PrefetcherOptions& options);
  // Stops.
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // The batch of the next step; of size 0 where the slot has none in it. Valid
  // until the following Next, or the end of the prefetcher. The batch before is
  // given back for reuse.
  //
  // OutOfRange after the last step; DeadlineExceeded, with what it waits
  // for, after `timeout` (Next may be called again); Cancelled after Stop; else
  // what reading said, from then on always.
  absl::StatusOr<const Batch*> Next(absl::Duration timeout);

  // Ends the thread and any Next. Idempotent.
  void Stop();

 private:
  Prefetcher(std::unique_ptr<BatchSource> batches,
             const PrefetcherOptions& options);
  void Run();
  // Whether there is room for the batch of `step`; false after Stop.
  bool AwaitRoom(int64_t step);
  // Takes down what reading that batch has said; false where it ends the
  // thread.
  bool TakeResult(int64_t step, const absl::Status& status);

  // Read by the thread alone.
  const std::unique_ptr<BatchSource> batches_;
  const PrefetcherOptions options_;
  // For messages.
  const std::string source_;
  // Batch of step s: ring_[s mod depth]. Steps [taken_, ready_) are the
  // consumer's, the rest the thread's.
  std::vector<Batch> ring_;

  absl::Mutex mutex_;
  // The step whose batch the next Next gives.
  int64_t next_ ABSL_GUARDED_BY(mutex_);
  // The first step whose batch the consumer may still use.
  int64_t taken_ ABSL_GUARDED_BY(mutex_);
  // Batches of all steps below it are ready.
  int64_t ready_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  // What the source waits for, in words; empty where it reads.
  std::string waits_for_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace tfd::data

#endif  // TFD_DATA_PREFETCHER_H_
