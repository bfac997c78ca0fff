// Memory of a worker: the allocator's settings, and the flat buffers that
// parameters and gradients live in.
#ifndef TFD_WORKER_MEMORY_H_
#define TFD_WORKER_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/shared_memory.h"
#include "tensor/float_buffer.h"

namespace tfd::worker {

// Makes malloc keep large blocks for reuse instead of giving them back to the
// system after every step (a third more images/s with lenet). Called first
// thing in main, before any thread is started.
void TuneAllocator();

// float32 numbers in whole pages of their own, zero at first; where the system
// can, shards on the same host read them in place. Moved, not copied.
// Thread-compatible.
class FlatBuffer {
 public:
  static absl::StatusOr<FlatBuffer> Allocate(uint64_t elements);
  FlatBuffer() = default;

  float* data() const { return data_; }
  uint64_t elements() const { return elements_; }
  absl::Span<float> span() const { return absl::MakeSpan(data_, elements_); }
  void SetZero();
  // Null where it cannot be shared.
  const SharedMemory* shared_memory() const { return shared_.get(); }

 private:
  float* data_ = nullptr;
  uint64_t elements_ = 0;
  // One of them holds the numbers.
  std::unique_ptr<SharedMemory> shared_;
  tensor::FloatBuffer own_;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_MEMORY_H_
