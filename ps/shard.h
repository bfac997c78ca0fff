// A shard of the parameters, without any transport: requests in, answers by
// callback. (A gRPC service feeds it in tfd-ps; a worker of an all-reduce job
// will call it directly.)
#ifndef TFD_PS_SHARD_H_
#define TFD_PS_SHARD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ps/chunk.h"
#include "ps/optimizer.h"
#include "ps/snapshot.h"
#include "tensor/checkpoint.h"
#include "tensor/chunk_codec.h"
#include "tensor/flat_buffer.h"
#include "tensor/layout.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::ps {

struct ShardOptions {
  // This shard's number in the layout.
  uint32_t shard = 0;
  uint64_t generation = 0;
  // With defaults.
  v1::OptimizerSpec optimizer;
  bool deterministic = false;
  v1::StrategySpec strategy;
  v1::ExchangeSpec::NanPolicy nan = v1::ExchangeSpec::FAIL;
  // Parameters are offered as this, too.
  tensor::NumberType payload = tensor::NumberType::kFloat32;
  int64_t total_steps = 0;
  int64_t checkpoint_every_steps = 0;
  // Parameters lie where peers on this host can read them.
  bool share_memory = true;
  // Of the worker in this process: where its own chunks are kept in bsp, as
  // float32. May be null.
  std::shared_ptr<const tensor::ParameterVersions> worker_parameters;
  // In the leader of a node: who applies the sums. Outlives the shard's
  // requests; needs worker_parameters, bsp and float32.
  Upstream* upstream = nullptr;
};

// Thread-safe; requests for different chunks go on in parallel.
class Shard {
 public:
  // `snapshots` outlives the shard.
  static absl::StatusOr<std::unique_ptr<Shard>> Create(
      const ShardOptions& options, const tensor::Layout& layout,
      SnapshotSink* snapshots);

  // Parameters, optimizer state and step of this shard's chunks, from any
  // number of former shards. Before any request. FailedPrecondition where the
  // checkpoint is of another model or optimizer.
  absl::Status Restore(const tensor::CheckpointReader& checkpoint);

  // Does what `request` asks and calls `reply` once, now or when a step is
  // complete, here or on another thread. A request that is wrong in itself, or
  // of another generation, is refused by an answer that names the field.
  void Handle(tensor::ReceivedRequest request, ReplyCallback reply);

  // An answer from options().upstream.
  void HandleUpstream(uint32_t chunk, const absl::Status& status);

  // The number of steps that every chunk has applied, of all slots and of one.
  int64_t step() const;
  int64_t StepOf(uint32_t slot) const;
  // Every chunk has parameters.
  bool initialised() const;

  const tensor::Layout& layout() const { return layout_; }
  const ShardOptions& options() const { return options_; }
  const Optimizer& optimizer() const { return *optimizer_; }
  const ShardStats& stats() const { return stats_; }
  // Chunks of this shard, and the float32 numbers in them.
  size_t chunks() const { return chunks_.size(); }
  uint64_t elements() const;

 private:
  Shard(const ShardOptions& options, const tensor::Layout& layout,
        std::unique_ptr<Optimizer> optimizer, SnapshotSink* snapshots);
  absl::Status Check(const tensor::ReceivedRequest& request) const;
  absl::Status CheckPush(const tensor::ReceivedRequest& request) const;
  absl::Status CheckPayload(const tensor::ReceivedRequest& request) const;

  const ShardOptions options_;
  const tensor::Layout layout_;
  const std::unique_ptr<Optimizer> optimizer_;
  // What was planned, until a slot says that it ends before that.
  std::atomic<int64_t> total_steps_{0};
  ChunkContext context_;
  ShardStats stats_;
  // chunks_[i] is the layout's chunk options_.shard + i · shards.
  std::vector<std::unique_ptr<Chunk>> chunks_;
};

}  // namespace tfd::ps

#endif  // TFD_PS_SHARD_H_
