// The memory of a shard's parameters: in segments that peers on the same host
// can map, or on the heap where the system has no such memory.
#ifndef TFD_PS_PARAMETER_POOL_H_
#define TFD_PS_PARAMETER_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "common/shared_memory.h"
#include "ps/shared_ring.h"
#include "tensor/flat_buffer.h"
#include "tensor/float_buffer.h"
#include "tensor/layout.h"
#include "tensor/number_type.h"

namespace tfd::ps {

// Room for one version of a chunk's parameters.
struct PoolBlock {
  absl::Span<float> floats;
  // The same numbers as the pool's narrow type, behind the floats; empty where
  // that is float32.
  absl::Span<std::byte> narrow;
  // In the parameters of the worker in this process.
  bool in_worker = false;
  // Where peers find it: from 1; 0 on the heap.
  uint32_t segment = 0;
  uint64_t offset = 0;
  // In front of the floats; null on the heap and in a worker's parameters. Even
  // while they can be read, odd while they are being written.
  std::atomic<uint64_t>* version = nullptr;
};

// Thread-safe. Grows and never shrinks; freed blocks are given out again.
class ParameterPool {
 public:
  // `expected_elements`: all parameters; the first segment has room for a few
  // versions of them.
  ParameterPool(size_t expected_elements, bool shared,
                tensor::NumberType narrow = tensor::NumberType::kFloat32);

  // Of blocks in the parameters of the worker in this process, float32; what
  // Allocate gives is on the heap.
  explicit ParameterPool(
      std::shared_ptr<const tensor::ParameterVersions> worker);

  tensor::NumberType narrow_type() const { return narrow_; }
  // The worker's parameters; null where there are none.
  const tensor::ParameterVersions* worker() const { return worker_.get(); }
  // The place of `range` in one of the two versions; Free leaves it alone.
  PoolBlock InWorker(int version, tensor::FlatRange range) const;

  PoolBlock Allocate(size_t elements);
  void Free(const PoolBlock& block);

  // Lives as long as the pool.
  const SharedMemory& segment(uint32_t number) const;

 private:
  struct Segment {
    std::unique_ptr<SharedMemory> memory;
    size_t used = 0;
  };
  PoolBlock AllocateOnHeap(size_t elements)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // A block: its version, alone in a cache line, its floats, the narrow ones.
  size_t BlockBytes(size_t elements) const;
  size_t NarrowBytes(size_t elements) const;

  const std::shared_ptr<const tensor::ParameterVersions> worker_;
  const tensor::NumberType narrow_;
  const size_t segment_bytes_;
  mutable absl::Mutex mutex_;
  bool shared_ ABSL_GUARDED_BY(mutex_);
  std::vector<Segment> segments_ ABSL_GUARDED_BY(mutex_);
  std::vector<tensor::FloatBuffer> heap_ ABSL_GUARDED_BY(mutex_);
  std::map<size_t, std::vector<PoolBlock>> free_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tfd::ps

#endif  // TFD_PS_PARAMETER_POOL_H_
