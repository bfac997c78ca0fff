// Decisions about datasets that grow while a job trains on them: which sealed
// partitions become visible together, in which order, and which are not needed
// any more (docs/adr/013-growing-datasets.md).
#ifndef TFD_DAEMON_COORDINATOR_DECIDE_GROWTH_H_
#define TFD_DAEMON_COORDINATOR_DECIDE_GROWTH_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/coordinator/decide/context.h"
#include "daemon/coordinator/decide/datasets.h"

namespace tfd::coordinator {

// Of a stream: whether the batch of a partition can still be sealed by this
// producer. AlreadyExists where it is committed.
absl::Status MaySealBatch(const Producer& producer,
                          const std::string& partition);

// Of a stream: publishes the partitions of a batch that are named, each of
// which must be sealed with as many rows; others of the batch are dropped.
// False where the batch is not newer than the newest that this producer has
// committed: nothing changes then, so that a replay is harmless.
absl::StatusOr<bool> CommitBatch(
    const Context& context, const ProducerKey& key, int64_t batch,
    const std::vector<CommittedPartition>& partitions);

// Publishes all that is sealed and not published yet, if it is at least so many
// rows.
void PublishSealed(const Context& context, const std::string& job,
                   const std::string& dataset, int64_t min_rows);

// After a checkpoint: retires the segments that it is past.
void RetireSegments(const Context& context, const std::string& job);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_DECIDE_GROWTH_H_
