// Memory of a worker: the allocator's settings, and the flat buffers that
// parameters and gradients live in.
#ifndef TFD_WORKER_MEMORY_H_
#define TFD_WORKER_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tfd::worker {

// Makes malloc keep large blocks for reuse instead of giving them back to the
// system after every step (a third more images/s with lenet). Called first
// thing in main, before any thread is started.
void TuneAllocator();

// float32 numbers in whole pages of their own, zero at first. Moved, not
// copied. Thread-compatible.
class FlatBuffer {
 public:
  static absl::StatusOr<FlatBuffer> Allocate(uint64_t elements);
  FlatBuffer() = default;
  FlatBuffer(FlatBuffer&& other) noexcept;
  FlatBuffer& operator=(FlatBuffer&& other) noexcept;
  ~FlatBuffer();

  float* data() const { return data_; }
  uint64_t elements() const { return elements_; }
  absl::Span<float> span() const { return absl::MakeSpan(data_, elements_); }
  void SetZero();

 private:
  FlatBuffer(float* data, uint64_t elements, size_t size_bytes)
      : data_(data), elements_(elements), size_bytes_(size_bytes) {}

  float* data_ = nullptr;
  uint64_t elements_ = 0;
  size_t size_bytes_ = 0;  // of the mapping
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_MEMORY_H_
