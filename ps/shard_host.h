// The life of a shard in a process: it waits for the membership and for the
// first worker's layout, makes the shard, restores a checkpoint, and from then
// on lets workers in that bring the same.
#ifndef TFD_PS_SHARD_HOST_H_
#define TFD_PS_SHARD_HOST_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "ps/shard.h"
#include "ps/snapshot.h"
#include "ps/upstream.h"
#include "tensor/checkpoint.h"
#include "tensor/flat_buffer.h"
#include "tensor/layout.h"
#include "tfd/v1/job_spec.pb.h"
#include "tfd/v1/shard.pb.h"
#include "tfd/v1/task.pb.h"

namespace tfd::ps {

struct ShardHostOptions {
  // This task (ps/1) and its number (1), which is its shard's.
  std::string task;
  uint32_t shard = 0;
  uint64_t generation = 0;
  // With defaults.
  v1::JobSpec spec;
  // The task is a worker, too: SetWorkerParameters will come.
  bool in_worker = false;
  // The shard is where the workers of a node sum: SetUpstream will come, if
  // the worker turns out to be its node's leader.
  bool sums_only = false;
};

// Who says that it is at the other end.
struct StreamSender {
  uint64_t generation = 0;
  uint64_t slot = 0;
  // Of its process.
  uint64_t incarnation = 0;
};

// Thread-safe. Owns one thread, "shard-host", which does the file I/O.
class ShardHost {
 public:
  using OpenCallback =
      std::function<void(const absl::StatusOr<v1::OpenResponse>&)>;
  // The shard cannot come to life (its checkpoint is unreadable, say); the
  // process should end with this. On the host's thread.
  using OnFailed = std::function<void(const absl::Status&)>;

  // `store` outlives the host; null where it only sums.
  ShardHost(ShardHostOptions options, const tensor::CheckpointStore* store,
            SnapshotWriter::OnSaved on_saved, OnFailed on_failed);
  ~ShardHost();

  // Where a task has taken another's place, the other's streams are refused
  // from now on.
  void SetMembership(const v1::Membership& membership);

  // In a worker, once: in bsp the shard keeps its parameters where the worker
  // computes with them.
  void SetWorkerParameters(
      std::shared_ptr<const tensor::ParameterVersions> parameters);

  // Where the shard only sums, once: who takes the sums. (Which has its first
  // parameters by now, so the shard is at its step.)
  void SetUpstream(std::unique_ptr<Upstream> upstream);

  // The handshake of one worker. `done` is called once, on the host's thread:
  // as soon as there is a shard, or with what does not agree, both sides named.
  void Open(v1::OpenRequest request, OpenCallback done);

  // Whether a stream of this sender may exchange with this shard.
  absl::Status CheckStream(const StreamSender& sender) const;
  // Whether it still may: FailedPrecondition where another process has its
  // place. Cheap; only for a sender that CheckStream has let in.
  absl::Status CheckFence(const StreamSender& sender) const;

  // A worker's stream that exchanges with this shard has begun, has ended.
  void StreamBegins();
  void StreamEnds();
  // Until no other process exchanges with this shard any more: before that it
  // must not go away, since its last answers may be on their way.
  // DeadlineExceeded says how many still do.
  absl::Status AwaitNoStreams(absl::Duration timeout);

  // Null before the first Open was answered. Lives as long as the host.
  Shard* shard() const { return shard_ptr_.load(std::memory_order_acquire); }

  // A manifest for the checkpoint at `step`; FailedPrecondition before the
  // first Open.
  absl::StatusOr<v1::CheckpointManifest> Manifest(int64_t step) const;

  // Waiting and later Opens are answered with Unavailable; for a server that
  // is about to stop. What is complete of a snapshot is still written.
  void Stop();

  const ShardHostOptions& options() const { return options_; }

 private:
  struct Waiting {
    v1::OpenRequest request;
    OpenCallback done;
  };

  void Run();
  bool IsReady() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<v1::OpenResponse> Answer(const v1::OpenRequest& request);
  absl::Status Check(const v1::OpenRequest& request,
                     const tensor::Layout& layout) const;
  // The incarnation that the membership names; 0: it names none.
  uint64_t IncarnationOf(const std::string& task) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void SetFences() ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  absl::Status MakeShard(const v1::OpenRequest& request,
                         const tensor::Layout& layout);
  absl::Status MakeSnapshots(const tensor::Layout& layout,
                             const v1::OptimizerSpec& optimizer);
  absl::Status Restore(const tensor::Layout& layout);
  void MakeSummingOnly(ShardOptions* options) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const ShardHostOptions options_;
  const tensor::CheckpointStore* const store_;
  const SnapshotWriter::OnSaved on_saved_;
  const OnFailed on_failed_;

  mutable absl::Mutex mutex_;
  std::optional<v1::Membership> membership_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const tensor::ParameterVersions> worker_parameters_
      ABSL_GUARDED_BY(mutex_);
  // Destroyed before the shard that it answers to.
  std::unique_ptr<Upstream> upstream_ ABSL_GUARDED_BY(mutex_);
  std::vector<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int streams_ ABSL_GUARDED_BY(mutex_) = 0;

  // Made once by the host's thread, before shard_ptr_ is set.
  v1::OpenRequest first_;
  // The host's thread: processes that were let in, by task and incarnation.
  std::set<std::pair<std::string, uint64_t>> let_in_;
  std::unique_ptr<SnapshotWriter> snapshots_;
  std::unique_ptr<Shard> shard_;
  // By slot: the incarnation that may exchange; 0: any.
  std::vector<std::atomic<uint64_t>> fences_;
  std::atomic<Shard*> shard_ptr_{nullptr};
  std::thread thread_;
};

}  // namespace tfd::ps

#endif  // TFD_PS_SHARD_HOST_H_
