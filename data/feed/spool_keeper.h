// Keeps a spool free of what nobody needs any more: what a producer has
// aborted, and what one that has vanished left unsealed.
#ifndef TFD_DATA_FEED_SPOOL_KEEPER_H_
#define TFD_DATA_FEED_SPOOL_KEEPER_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "data/feed/spool.h"
#include "tfd/v1/task.pb.h"

namespace tfd::data {

struct SpoolKeeperOptions {
  std::string job;
  uint64_t generation = 0;
  // What is not sealed is dropped when nobody has written it for so long: of
  // each dataset by its name (unsealed_timeout), and of those not named.
  std::map<std::string, absl::Duration> leases;
  absl::Duration lease = absl::Minutes(15);
  // Asks the coordinator, and tells it.
  std::function<absl::StatusOr<v1::ReviewAttemptsResponse>(
      const v1::ReviewAttemptsRequest&)>
      review;
  std::function<void(const v1::SpoolNotice&)> tell;
};

// Nothing is dropped but on the coordinator's word, given after it was asked:
// what is sealed, or sealed meanwhile, stays. Thread-safe.
class SpoolKeeper {
 public:
  // `spool` outlives it.
  SpoolKeeper(SpoolKeeperOptions options, Spool* spool);

  // These only note what the next Tend asks about; they never block.
  void ReviewAll();
  void ReviewProducer(const std::string& dataset, const std::string& producer);

  // Waits until there is something to ask about, or `timeout` is over, or Stop
  // was called: false then.
  bool Await(absl::Duration timeout);
  void Stop();

  // Asks and drops, one caller at a time. `now` is of SteadyNow. Where the
  // coordinator does not answer, everything stays, to be asked about again.
  absl::Status Tend(absl::Time now);

 private:
  struct Wanted {
    bool all = false;
    // Dataset and producer.
    std::set<std::pair<std::string, std::string>> producers;
    bool empty() const { return !all && producers.empty(); }
  };

  absl::Duration LeaseOf(const std::string& dataset) const;
  bool IsExpired(const Spool::Known& attempt, absl::Time now) const;
  absl::Status Review(const std::vector<Spool::Known>& attempts,
                      absl::Time now);
  // Those that were dropped because their producer has vanished.
  void Tell(const std::vector<Spool::Known>& dropped);

  const SpoolKeeperOptions options_;
  Spool* const spool_;
  // Held while asking; before mutex_.
  absl::Mutex tending_;
  absl::Mutex mutex_;
  Wanted wanted_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_SPOOL_KEEPER_H_
