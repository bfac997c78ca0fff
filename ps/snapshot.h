// Checkpoints of one shard: what its chunks copied aside at a step, written to
// storage by a thread of its own while training goes on.
#ifndef TFD_PS_SNAPSHOT_H_
#define TFD_PS_SNAPSHOT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "ps/parameter_buffer.h"
#include "tensor/checkpoint.h"
#include "tensor/float_buffer.h"
#include "tensor/layout.h"

namespace tfd::ps {

// One chunk at the step of a checkpoint.
struct ChunkSnapshot {
  tensor::FlatRange range;
  // Shared, not copied: a version is never written again while it is shared.
  ParameterRef parameters;
  // Copies, one per name of the optimizer's state.
  std::vector<tensor::FloatBuffer> state;
  uint64_t updates = 0;
};

// Where chunks put their snapshots. Thread-safe.
class SnapshotSink {
 public:
  virtual ~SnapshotSink() = default;
  // Each chunk of the shard once per checkpoint step.
  virtual void Add(int64_t step, ChunkSnapshot chunk) = 0;
  // Calls `go_on` now, or, where the disk has fallen behind, once one of the
  // snapshots before `step` is written: what a chunk answers to a checkpoint
  // step waits for it, which bounds the memory and blocks no thread.
  virtual void WhenThereIsRoom(int64_t step, std::function<void()> go_on) = 0;
};

struct SnapshotWriterOptions {
  // The number of this shard.
  uint32_t shard = 0;
  uint64_t generation = 0;
  // Of the optimizer.
  std::vector<std::string> state_names;
  // Snapshots of other steps that may be in memory when another one begins.
  size_t max_waiting = 2;
};

// Thread-safe. Owns one thread, "snapshot", which writes one file after the
// other; the destructor writes what is complete, then ends.
class SnapshotWriter : public SnapshotSink {
 public:
  // A shard's part of the checkpoint at `step` is durable, or why it is not.
  // On the writer's thread.
  using OnSaved = std::function<void(
      int64_t step, const absl::StatusOr<v1::ShardFile>& file)>;

  // `store` outlives the writer.
  SnapshotWriter(const SnapshotWriterOptions& options, tensor::Layout layout,
                 const tensor::CheckpointStore* store, OnSaved on_saved);
  ~SnapshotWriter() override;

  void Add(int64_t step, ChunkSnapshot chunk) override;
  void WhenThereIsRoom(int64_t step, std::function<void()> go_on) override;

 private:
  using Chunks = std::vector<ChunkSnapshot>;
  struct Waiting {
    int64_t step;
    std::function<void()> go_on;
  };

  void Run();
  absl::StatusOr<v1::ShardFile> Write(int64_t step, const Chunks& chunks) const;
  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool HasRoomFor(int64_t step) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Takes out what may go on now.
  std::vector<Waiting> TakeReady() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const SnapshotWriterOptions options_;
  const tensor::Layout layout_;
  const size_t chunks_;  // of this shard
  const tensor::CheckpointStore* const store_;
  const OnSaved on_saved_;

  absl::Mutex mutex_;
  // By step; a complete one stays here until it is written.
  std::map<int64_t, Chunks> snapshots_ ABSL_GUARDED_BY(mutex_);
  std::vector<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tfd::ps

#endif  // TFD_PS_SNAPSHOT_H_
