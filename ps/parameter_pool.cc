#include "ps/parameter_pool.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <new>
#include <utility>

namespace tfd::ps {
namespace {

// The current parameters, and those of the step before or those being made.
constexpr size_t kVersions = 2;
constexpr size_t kMinSegmentBytes = 1 << 20;

size_t RoundUp(size_t bytes) {
  return (bytes + kCacheLineBytes - 1) / kCacheLineBytes * kCacheLineBytes;
}

}  // namespace

ParameterPool::ParameterPool(size_t expected_elements, bool shared,
                             tensor::NumberType narrow)
    : narrow_(narrow),
      segment_bytes_(std::max(kMinSegmentBytes,
                              kVersions * (BlockBytes(expected_elements) +
                                           expected_elements / 16))),
      shared_(shared) {}

ParameterPool::ParameterPool(
    std::shared_ptr<const tensor::ParameterVersions> worker)
    : worker_(std::move(worker)),
      narrow_(tensor::NumberType::kFloat32),
      segment_bytes_(0),
      shared_(false) {}

// No version: a worker pushes a step only when it has all parameters of the one
// before, so a block is written again only after everybody has read it. (Who
// reads nevertheless is of a stale generation, and is refused.)
PoolBlock ParameterPool::InWorker(int version, tensor::FlatRange range) const {
  const tensor::FlatBuffer& buffer = (*worker_)[version];
  PoolBlock block;
  block.in_worker = true;
  block.floats = buffer.span().subspan(range.begin, range.elements());
  if (buffer.shared_memory() != nullptr) {
    block.segment = static_cast<uint32_t>(version + 1);
    block.offset = range.begin * sizeof(float);
  }
  return block;
}

size_t ParameterPool::NarrowBytes(size_t elements) const {
  if (narrow_ == tensor::NumberType::kFloat32) return 0;
  return RoundUp(elements * tensor::BytesPerNumber(narrow_));
}

size_t ParameterPool::BlockBytes(size_t elements) const {
  return kCacheLineBytes + RoundUp(elements * sizeof(float)) +
         NarrowBytes(elements);
}

PoolBlock ParameterPool::Allocate(size_t elements) {
  absl::MutexLock lock(&mutex_);
  std::vector<PoolBlock>& free = free_[elements];
  if (!free.empty()) {
    const PoolBlock block = free.back();
    free.pop_back();
    return block;
  }
  if (!shared_) return AllocateOnHeap(elements);
  const size_t bytes = BlockBytes(elements);
  if (segments_.empty() ||
      segments_.back().memory->size_bytes() - segments_.back().used < bytes) {
    // What is added later is for slow readers: a few versions of this size.
    const size_t wanted =
        segments_.empty() ? std::max(segment_bytes_, bytes) : kVersions * bytes;
    absl::StatusOr<std::unique_ptr<SharedMemory>> memory =
        SharedMemory::Create("tfd-parameters", wanted);
    if (!memory.ok()) {
      // Before the first segment, workers exchange over sockets; later, who
      // reads in place is told that there is no shared memory left.
      spdlog::warn("parameters are not shared: {}",
                   std::string(memory.status().message()));
      shared_ = false;
      return AllocateOnHeap(elements);
    }
    segments_.push_back({*std::move(memory), 0});
  }
  Segment& segment = segments_.back();
  std::byte* const at = segment.memory->data() + segment.used;
  PoolBlock block;
  block.segment = static_cast<uint32_t>(segments_.size());
  block.version = new (at) std::atomic<uint64_t>(0);
  block.offset = segment.used + kCacheLineBytes;
  block.floats = {reinterpret_cast<float*>(at + kCacheLineBytes), elements};
  block.narrow = {at + kCacheLineBytes + RoundUp(elements * sizeof(float)),
                  NarrowBytes(elements)};
  segment.used += bytes;
  return block;
}

PoolBlock ParameterPool::AllocateOnHeap(size_t elements) {
  heap_.emplace_back(elements + NarrowBytes(elements) / sizeof(float));
  PoolBlock block;
  block.floats = heap_.back().span().subspan(0, elements);
  block.narrow = {reinterpret_cast<std::byte*>(heap_.back().data() + elements),
                  NarrowBytes(elements)};
  return block;
}

void ParameterPool::Free(const PoolBlock& block) {
  if (block.in_worker) return;
  absl::MutexLock lock(&mutex_);
  free_[block.floats.size()].push_back(block);
}

const SharedMemory& ParameterPool::segment(uint32_t number) const {
  if (worker_ != nullptr) return *(*worker_)[number - 1].shared_memory();
  absl::MutexLock lock(&mutex_);
  return *segments_[number - 1].memory;
}

}  // namespace tfd::ps
