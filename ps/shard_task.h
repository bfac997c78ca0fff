// What a task does as a holder of parameters: serves a shard, saves it, and, as
// the first of them, keeps the job's checkpoints. tfd-ps is nothing else; in an
// all-reduce job every worker is one too. Where the workers of a node sum
// (exchange.aggregate: node), every worker has a shard that does that alone:
// nothing is restored or saved there.
#ifndef TFD_PS_SHARD_TASK_H_
#define TFD_PS_SHARD_TASK_H_

#include <grpcpp/impl/service_type.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/net/server.h"
#include "common/task/environment.h"
#include "ps/checkpoint_keeper.h"
#include "ps/shard_host.h"
#include "ps/shared_shard_server.h"
#include "tensor/checkpoint.h"
#include "tfd/v1/task.pb.h"

namespace tfd::ps {

// Thread-safe but for Start, Stop and the destructor. Threads: gRPC's,
// shard-host, snapshot, checkpoints (the first task), shared-accept and one
// shared-shard for each worker on this host.
class ShardTask {
 public:
  struct Events {
    // For the coordinator.
    std::function<void(v1::TaskMessage)> send;
    // The task should end with this.
    std::function<void(const absl::Status&)> on_failed;
  };

  // Listens, and prepares storage where this is the first of the shards (task
  // number 0 of those that do not only sum). `environment` outlives the task.
  static absl::StatusOr<std::unique_ptr<ShardTask>> Start(
      const TaskEnvironment& environment, Events events);
  ~ShardTask();

  // For the hello to the coordinator.
  const v1::Endpoint& endpoint() const { return server_->endpoint(); }
  const std::optional<v1::CheckpointRef>& restore() const { return restore_; }
  ShardHost* host() { return host_.get(); }
  // It is where the workers of a node sum.
  bool sums_only() const;

  // Takes what concerns shards and leaves the rest alone.
  void OnCommand(const v1::TaskCommand& command);

  // Until the checkpoint after `step` steps is in storage, as far as it is up
  // to this task: its file is written, and where it is the first shard, the
  // coordinator has committed the checkpoint.
  absl::Status AwaitCheckpoint(int64_t step, absl::Duration timeout);

  // No Events afterwards, and no more requests.
  void Stop();

 private:
  ShardTask(const TaskEnvironment& environment, Events events)
      : environment_(environment), events_(std::move(events)) {}
  absl::Status Start();
  absl::Status OpenStorage();
  void MakeKeeper();
  void MakeHost();
  absl::Status StartServers();
  void OnSaved(int64_t step, const absl::StatusOr<v1::ShardFile>& file);

  const TaskEnvironment& environment_;
  const Events events_;
  std::optional<tensor::CheckpointStore> store_;
  std::optional<v1::CheckpointRef> restore_;
  std::unique_ptr<CheckpointKeeper> keeper_;
  std::unique_ptr<ShardHost> host_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<net::Server> server_;
  std::unique_ptr<SharedShardServer> shared_server_;

  absl::Mutex mutex_;
  int64_t saved_step_ ABSL_GUARDED_BY(mutex_) = -1;
  int64_t committed_step_ ABSL_GUARDED_BY(mutex_) = -1;
};

}  // namespace tfd::ps

#endif  // TFD_PS_SHARD_TASK_H_
