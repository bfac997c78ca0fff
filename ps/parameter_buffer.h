// One version of a chunk's parameters, shared with whoever still sends it.
#ifndef TFD_PS_PARAMETER_BUFFER_H_
#define TFD_PS_PARAMETER_BUFFER_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

#include "absl/types/span.h"
#include "ps/parameter_pool.h"
#include "tensor/accumulate.h"

namespace tfd::ps {

// A counted reference to floats. Their owner keeps one reference and writes
// them only while it is the only one (IsUnique); with more they stay as they
// are: gRPC sends them from where they are and lets go of them late, on threads
// of its own, maybe after the shard is gone. Thread-safe like std::shared_ptr,
// which is not used because its use_count() orders no memory: a buffer that is
// free again must be seen together with the end of the last read of it.
class ParameterRef {
 public:
  ParameterRef() = default;
  static ParameterRef Allocate(const std::shared_ptr<ParameterPool>& pool,
                               size_t elements) {
    return ParameterRef(new Shared(pool, pool->Allocate(elements)));
  }
  // A chunk's place in the parameters of the worker in this process.
  static ParameterRef InWorker(const std::shared_ptr<ParameterPool>& pool,
                               int version, tensor::FlatRange range) {
    return ParameterRef(new Shared(pool, pool->InWorker(version, range)));
  }
  ParameterRef(const ParameterRef& other) : shared_(other.shared_) {
    if (shared_ != nullptr) {
      shared_->references.fetch_add(1, std::memory_order_relaxed);
    }
  }
  ParameterRef(ParameterRef&& other) noexcept
      : shared_(std::exchange(other.shared_, nullptr)) {}
  ParameterRef& operator=(ParameterRef other) noexcept {
    std::swap(shared_, other.shared_);
    return *this;
  }
  ~ParameterRef() {
    if (shared_ != nullptr) Drop(shared_);
  }

  explicit operator bool() const { return shared_ != nullptr; }
  bool operator==(const ParameterRef& other) const {
    return shared_ == other.shared_;
  }
  absl::Span<const float> span() const { return shared_->block.floats; }
  // The numbers as `type`: float32, or the pool's narrow type.
  tensor::ByteSpan bytes(tensor::NumberType type) const {
    const PoolBlock& block = shared_->block;
    const size_t size_bytes =
        block.floats.size() * tensor::BytesPerNumber(type);
    if (type == tensor::NumberType::kFloat32) {
      return {reinterpret_cast<const std::byte*>(block.floats.data()),
              size_bytes};
    }
    return {block.narrow.data(), size_bytes};
  }

  // What a peer on this host needs to read it as `type`; segment 0 where it
  // cannot.
  SharedPlace place(tensor::NumberType type) const {
    const PoolBlock& block = shared_->block;
    SharedPlace place;
    if (block.segment == 0) return place;
    const tensor::ByteSpan numbers = bytes(type);
    place.segment = block.segment;
    place.offset = block.offset +
                   static_cast<uint64_t>(
                       numbers.data() -
                       reinterpret_cast<const std::byte*>(block.floats.data()));
    place.bytes = numbers.size();
    if (block.version != nullptr) {
      place.version = block.version->load(std::memory_order_relaxed);
      place.version_offset = block.offset - kCacheLineBytes;
    }
    return place;
  }
  const ParameterPool& pool() const { return *shared_->pool; }

  // Nobody has another reference, and all that others did with theirs has
  // happened before.
  bool IsUnique() const {
    return shared_->references.load(std::memory_order_acquire) == 1;
  }
  // For the owner, while nobody else has a reference. A peer that still reads
  // the former content finds afterwards that it has changed. (A seqlock's
  // writer.)
  const PoolBlock& BeginWrite() {
    const PoolBlock& block = shared_->block;
    if (block.version != nullptr) {
      // What is written from now on is written after this.
      block.version->fetch_add(1, std::memory_order_acq_rel);
    }
    return block;
  }
  void EndWrite() {
    const PoolBlock& block = shared_->block;
    if (block.version != nullptr) {
      block.version->fetch_add(1, std::memory_order_release);
    }
  }

  // Gives the reference away as a pointer, for C callbacks: Release is called
  // with it exactly once.
  void* Detach() { return std::exchange(shared_, nullptr); }
  static void Release(void* detached) { Drop(static_cast<Shared*>(detached)); }

 private:
  struct Shared {
    Shared(std::shared_ptr<ParameterPool> from, const PoolBlock& in)
        : pool(std::move(from)), block(in) {}
    ~Shared() { pool->Free(block); }
    std::atomic<int> references{1};
    const std::shared_ptr<ParameterPool> pool;
    const PoolBlock block;
  };
  explicit ParameterRef(Shared* shared) : shared_(shared) {}
  static void Drop(Shared* shared) {
    if (shared->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      delete shared;
    }
  }

  Shared* shared_ = nullptr;
};

}  // namespace tfd::ps

#endif  // TFD_PS_PARAMETER_BUFFER_H_
