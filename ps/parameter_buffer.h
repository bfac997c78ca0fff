// One version of a chunk's parameters, shared with whoever still sends it.
#ifndef TFD_PS_PARAMETER_BUFFER_H_
#define TFD_PS_PARAMETER_BUFFER_H_

#include <atomic>
#include <cstddef>
#include <utility>

#include "absl/types/span.h"
#include "tensor/float_buffer.h"

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
  static ParameterRef Allocate(size_t elements) {
    return ParameterRef(new Shared(elements));
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
  absl::Span<const float> span() const { return shared_->buffer.span(); }

  // Nobody has another reference, and all that others did with theirs has
  // happened before.
  bool IsUnique() const {
    return shared_->references.load(std::memory_order_acquire) == 1;
  }
  // For the owner, while nobody else has a reference.
  absl::Span<float> writable() { return shared_->buffer.span(); }

  // Gives the reference away as a pointer, for C callbacks: Release is called
  // with it exactly once.
  void* Detach() { return std::exchange(shared_, nullptr); }
  static void Release(void* detached) { Drop(static_cast<Shared*>(detached)); }

 private:
  struct Shared {
    explicit Shared(size_t elements) : buffer(elements) {}
    std::atomic<int> references{1};
    tensor::FloatBuffer buffer;
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
