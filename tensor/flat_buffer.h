// The flat memory that a worker's parameters and gradients live in.
#ifndef TFD_TENSOR_FLAT_BUFFER_H_
#define TFD_TENSOR_FLAT_BUFFER_H_

#include <array>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/shared_memory.h"
#include "tensor/float_buffer.h"

namespace tfd::tensor {

// float32 numbers in whole pages of their own, zero at first; where the system
// can, processes on the same host read them in place. Moved, not copied.
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
  FloatBuffer own_;
};

// A worker's parameters, twice: it computes with one version while those of the
// next step arrive in the other.
using ParameterVersions = std::array<FlatBuffer, 2>;
absl::StatusOr<std::shared_ptr<const ParameterVersions>>
AllocateParameterVersions(uint64_t elements);

}  // namespace tfd::tensor

#endif  // TFD_TENSOR_FLAT_BUFFER_H_
