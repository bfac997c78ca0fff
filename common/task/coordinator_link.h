// A task's connection to the coordinator: one stream (TaskLink.Attach), kept
// up, re-established after the coordinator was away.
#ifndef TFD_COMMON_TASK_COORDINATOR_LINK_H_
#define TFD_COMMON_TASK_COORDINATOR_LINK_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/task/environment.h"
#include "tfd/v1/task.pb.h"

namespace tfd {

struct CoordinatorLinkOptions {
  // As Dial takes it.
  std::string coordinator;
  std::string token;
  // Sent on every connect.
  v1::TaskHello hello;
  // How long the coordinator may be away before `on_lost` (the welcome's
  // patience_ms replaces it).
  absl::Duration patience = absl::Seconds(60);
  // Every command but welcome, in order, on the link's own thread. Must not
  // block for long.
  std::function<void(const v1::TaskCommand&)> on_command;
  // The link has ended for good: refused (stale generation, wrong token,
  // other protocol) or the coordinator stayed away. Once, on the link's own
  // thread. The task should end with this status.
  std::function<void(const absl::Status&)> on_lost;
};

// Who this process is; `incarnation` is drawn by it, once.
v1::TaskHello MakeHello(const TaskEnvironment& environment,
                        uint64_t incarnation);

// Heartbeats go by themselves. What must not get lost over a reconnect is sent
// again by the link: the newest message of each of shard_saved (per step),
// manifest_written, evaluated, exported, plan and done; the coordinator takes
// a repeated one for what it is. Metrics are dropped while disconnected.
// Thread-safe.
class CoordinatorLink {
 public:
  static std::unique_ptr<CoordinatorLink> Start(CoordinatorLinkOptions options);
  virtual ~CoordinatorLink() = default;

  // Never blocks on the network. The queue is bounded: beyond it metrics are
  // dropped, oldest first.
  virtual void Send(v1::TaskMessage message) = 0;

  // Returns when all that was sent has left this process and the stream was
  // closed in order, or after `timeout` with DeadlineExceeded.
  virtual absl::Status Close(absl::Duration timeout) = 0;

  // For a feed; retried while the coordinator is away, until `timeout`.
  virtual absl::Status SealPartition(const v1::SealPartitionRequest& request,
                                     absl::Duration timeout) = 0;

  // For a feed; asked once. As many standings as attempts, or an error.
  virtual absl::StatusOr<v1::ReviewAttemptsResponse> ReviewAttempts(
      const v1::ReviewAttemptsRequest& request, absl::Duration timeout) = 0;
};

}  // namespace tfd

#endif  // TFD_COMMON_TASK_COORDINATOR_LINK_H_
