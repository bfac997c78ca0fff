// One chunk of a shard: sums the slots of a step, applies the optimizer,
// answers. The bsp rule and exactly-once are here.
#ifndef TFD_PS_CHUNK_H_
#define TFD_PS_CHUNK_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "ps/optimizer.h"
#include "ps/parameter_buffer.h"
#include "ps/snapshot.h"
#include "tensor/chunk_codec.h"
#include "tensor/float_buffer.h"
#include "tensor/layout.h"

namespace tfd::ps {

class Upstream;

// What a chunk answers; parameters where there are some to give.
struct ShardReply {
  tensor::ChunkReply header;
  ParameterRef parameters;
};

// Called exactly once per request, on any thread; must not block.
using ReplyCallback = std::function<void(ShardReply)>;

ShardReply ErrorReply(const tensor::ChunkRequest& request,
                      const absl::Status& status);

// What all chunks of a shard share. Everything pointed to outlives them.
struct ChunkContext {
  const Optimizer* optimizer = nullptr;
  v1::OptimizerSpec optimizer_spec;
  SnapshotSink* snapshots = nullptr;
  // In the leader of a node: who applies the sums. The optimizer is not used
  // then, nor are there snapshots.
  Upstream* upstream = nullptr;
  std::shared_ptr<ParameterPool> pool;
  // Of the worker in this process; null where there is none.
  const tensor::ParameterVersions* worker_parameters = nullptr;
  // For messages: which parameter a number belongs to.
  const tensor::Layout* layout = nullptr;
  v1::ExchangeSpec::NanPolicy nan = v1::ExchangeSpec::FAIL;
  uint32_t slots = 1;
  // Sums go strictly in the order of slots.
  bool deterministic = false;
  // A slot at step t goes on when every slot has reached t - staleness. With
  // BSP, 0 and one update of all slots' sum; else each slot's gradient is an
  // update of its own.
  v1::StrategySpec::Sync sync = v1::StrategySpec::BSP;
  uint64_t staleness = 0;
  // As schedules count; where the training ends before that, total_steps is
  // less from the moment on when that is known.
  int64_t planned_steps = 0;
  const std::atomic<int64_t>* total_steps = nullptr;
  // Steps between checkpoints; 0: only the last step's.
  int64_t checkpoint_every_steps = 0;
};

// Counters, for metrics and tests. Thread-safe.
struct ShardStats {
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> pushes_applied{0};
  // Pushes of a (slot, step, chunk) that was there already.
  std::atomic<uint64_t> pushes_repeated{0};
  std::atomic<uint64_t> requests_refused{0};
  // Chunks of steps that were left out because of a NaN or an infinity.
  std::atomic<uint64_t> updates_skipped{0};
  std::atomic<uint64_t> payload_bytes{0};
};

// Thread-safe. A request that arrives while another thread works on the chunk
// is queued and done by that thread: nobody waits for anybody's sums, and the
// numbers need no lock. Requests in the queue are bounded by what streams let
// in.
class Chunk {
 public:
  Chunk(const ChunkContext* context, uint32_t number, tensor::FlatRange range,
        ShardStats* stats);

  // `request` is valid in itself (see Shard::Handle).
  void Deliver(tensor::ReceivedRequest request, ReplyCallback reply);

  // What came back for the sum that was given upstream: the next parameters are
  // in the worker's other version, or why they are not.
  void DeliverUpstream(const absl::Status& status);

  // Before any Deliver.
  absl::Status Restore(const tensor::CheckpointReader& checkpoint);

  // The number of steps applied: of all slots, and of one (without bsp it may
  // be more); and whether there are parameters.
  uint64_t step() const { return step_.load(std::memory_order_acquire); }
  uint64_t StepOf(uint32_t slot) const {
    return std::max(step(), slots_[slot].step.load(std::memory_order_acquire));
  }
  bool initialised() const {
    return initialised_.load(std::memory_order_acquire);
  }
  tensor::FlatRange range() const { return range_; }

 private:
  struct Item {
    tensor::ReceivedRequest request;
    ReplyCallback reply;
    // Instead of a request: an answer from upstream.
    std::optional<absl::Status> upstream = std::nullopt;
  };
  // A seat of the step that is being summed; without bsp, one that is at a step
  // of its own.
  struct Slot {
    // Not bsp: the step it pushes next, and a push that must wait until the
    // others have come to the checkpoint before it.
    std::atomic<uint64_t> step{0};
    std::optional<Item> held_back;
    bool given = false;
    double weight = 0;
    // What is summed when the step is complete: all of it where it lies in the
    // worker's memory, where the sum has to be in the order of slots or is
    // given upstream, or where there are buffers in it.
    tensor::ReceivedRequest held;
    ReplyCallback push_reply;
    ReplyCallback pull_reply;
    uint64_t pull_step = 0;
  };

  void Deliver(Item arrived);

  // All below are called by the one thread that owns the chunk at the time.
  void Process(Item item);
  void Init(const tensor::ReceivedRequest& request, const ReplyCallback& reply);
  void Pull(const tensor::ChunkRequest& request, ReplyCallback reply);
  void Push(tensor::ReceivedRequest request, ReplyCallback reply);
  void PushAlone(tensor::ReceivedRequest request, ReplyCallback reply);
  void ApplyAlone(tensor::ReceivedRequest request, ReplyCallback reply);
  void GoOnAlone();
  uint64_t SlowestSlot() const;
  uint64_t NextCheckpoint() const;
  void Sum(double weight, const tensor::ReceivedRequest& push);
  void CompleteStep();
  void EndStep();
  void GiveUpstream();
  void TakeUpstream(const absl::Status& status);
  ParameterRef UpstreamParameters();
  absl::Status Update(uint64_t step, double total_weight);
  void KeepParameters();
  absl::Status SumAndCheck();
  absl::Status TakeBuffers(absl::Span<float> updated) const;
  absl::Status Apply(const UpdateInfo& info, const PoolBlock& updated);
  void Narrow(const PoolBlock& block, size_t begin, size_t count) const;
  absl::Status NotFinite(size_t element) const;
  void Break(const absl::Status& status);
  void AnswerStep();
  // The parameters after step_ steps are one.
  bool IsCheckpoint() const;
  void TakeSnapshot();
  void AnswerPulls();
  void Refuse(const tensor::ChunkRequest& request, const ReplyCallback& reply,
              const absl::Status& status);
  // The parameters after `step` steps, or OutOfRange.
  absl::StatusOr<ParameterRef> ParametersAt(uint64_t step) const;
  ParameterRef FreeBuffer();
  // The parameters are where the worker in this process computes with them.
  bool in_worker() const { return context_->pool->worker() != nullptr; }
  std::string Name() const;

  const ChunkContext* const context_;
  const uint32_t number_;
  const tensor::FlatRange range_;
  // So many of its elements are trained; the others are buffers, which are what
  // slot 0 has sent with its step.
  const size_t trained_;
  ShardStats* const stats_;

  absl::Mutex mutex_;
  std::vector<Item> inbox_ ABSL_GUARDED_BY(mutex_);
  bool owned_ ABSL_GUARDED_BY(mutex_) = false;

  // Written by the owner alone.
  std::atomic<uint64_t> step_{0};
  std::atomic<bool> initialised_{false};

  // The owner's alone; mutex_ orders one owner after the other.
  uint64_t updates_ = 0;
  // After step_ steps, and after step_ - 1: kept until the next step is
  // applied, which proves that this one was complete on every shard, since a
  // worker pushes a step only when it has all of the one before.
  ParameterRef current_;
  ParameterRef previous_;
  // The worker's version that has what came from upstream last.
  int upstream_version_ = 1;
  // Every buffer there is, those that are still being sent among them. In a
  // worker, its two versions of this chunk.
  std::vector<ParameterRef> buffers_;
  // What was summed on arrival, or room for one block of sums.
  tensor::FloatBuffer sum_;
  std::vector<tensor::FloatBuffer> state_;
  std::vector<Slot> slots_;
  uint32_t given_ = 0;
  // Of what is in sum_.
  double total_weight_ = 0;
  // Why no step is taken any more.
  absl::Status broken_;
};

// Whether parameters after `step` steps are a checkpoint.
bool IsCheckpointStep(int64_t step, int64_t every_steps, int64_t total_steps);

}  // namespace tfd::ps

#endif  // TFD_PS_CHUNK_H_
