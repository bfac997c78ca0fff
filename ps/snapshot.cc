#include "ps/snapshot.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "common/status.h"

namespace tfd::ps {

SnapshotWriter::SnapshotWriter(const SnapshotWriterOptions& options,
                               tensor::Layout layout,
                               const tensor::CheckpointStore* store,
                               OnSaved on_saved)
    : options_(options),
      layout_(std::move(layout)),
      chunks_(layout_.ChunksOf(options.shard).size()),
      store_(store),
      on_saved_(std::move(on_saved)),
      thread_([this] {
        pthread_setname_np(pthread_self(), "snapshot");
        Run();
      }) {}

SnapshotWriter::~SnapshotWriter() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void SnapshotWriter::Add(int64_t step, ChunkSnapshot chunk) {
  absl::MutexLock lock(&mutex_);
  snapshots_[step].push_back(std::move(chunk));
}

void SnapshotWriter::WhenThereIsRoom(int64_t step,
                                     std::function<void()> go_on) {
  {
    absl::MutexLock lock(&mutex_);
    if (!HasRoomFor(step)) {
      waiting_.push_back({step, std::move(go_on)});
      return;
    }
  }
  go_on();
}

bool SnapshotWriter::HasRoomFor(int64_t step) const {
  const auto before =
      std::distance(snapshots_.begin(), snapshots_.lower_bound(step));
  return static_cast<size_t>(before) <= options_.max_waiting;
}

std::vector<SnapshotWriter::Waiting> SnapshotWriter::TakeReady() {
  const auto ready = std::stable_partition(waiting_.begin(), waiting_.end(),
                                           [this](const Waiting& waiting) {
                                             mutex_.AssertReaderHeld();
                                             return !HasRoomFor(waiting.step);
                                           });
  std::vector<Waiting> taken(std::make_move_iterator(ready),
                             std::make_move_iterator(waiting_.end()));
  waiting_.erase(ready, waiting_.end());
  return taken;
}

bool SnapshotWriter::HasWork() const {
  return !snapshots_.empty() && snapshots_.begin()->second.size() == chunks_;
}

void SnapshotWriter::Run() {
  while (true) {
    int64_t step = 0;
    const Chunks* chunks = nullptr;
    {
      absl::MutexLock lock(&mutex_);
      const auto wake = [this] {
        mutex_.AssertReaderHeld();
        return stopping_ || HasWork();
      };
      mutex_.Await(absl::Condition(&wake));
      if (!HasWork()) return;
      step = snapshots_.begin()->first;
      // The entry stays, complete and so untouched by others: it counts until
      // it is written.
      chunks = &snapshots_.begin()->second;
    }
    const absl::StatusOr<v1::ShardFile> file = Write(step, *chunks);
    std::vector<Waiting> ready;
    {
      absl::MutexLock lock(&mutex_);
      snapshots_.erase(step);
      ready = TakeReady();
    }
    on_saved_(step, file);
    for (const Waiting& waiting : ready) waiting.go_on();
  }
}

absl::StatusOr<v1::ShardFile> SnapshotWriter::Write(
    int64_t step, const Chunks& chunks) const {
  tensor::ShardToSave shard;
  shard.shard = options_.shard;
  shard.step = step;
  shard.state_names = options_.state_names;
  for (const ChunkSnapshot& chunk : chunks) {
    tensor::ChunkToSave& save = shard.chunks.emplace_back();
    save.range = chunk.range;
    save.parameters = chunk.parameters.span();
    for (const tensor::FloatBuffer& buffer : chunk.state) {
      save.state.push_back(buffer.span());
    }
    shard.updates = std::max(shard.updates, chunk.updates);
  }
  std::sort(shard.chunks.begin(), shard.chunks.end(),
            [](const tensor::ChunkToSave& a, const tensor::ChunkToSave& b) {
              return a.range.begin < b.range.begin;
            });
  return store_->WriteShard(layout_.group(), options_.generation, shard);
}

}  // namespace tfd::ps
