// Numbers in memory, aligned for vector instructions.
#ifndef TFD_TENSOR_FLOAT_BUFFER_H_
#define TFD_TENSOR_FLOAT_BUFFER_H_

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>

#include "absl/types/span.h"

namespace tfd::tensor {

// A fixed number of floats. Move-only; thread-compatible.
class FloatBuffer {
 public:
  static constexpr size_t kAlignmentBytes = 64;

  FloatBuffer() = default;
  // Not initialised.
  explicit FloatBuffer(size_t size)
      : data_(static_cast<float*>(::operator new (
            size * sizeof(float), std::align_val_t{kAlignmentBytes}))),
        size_(size) {}

  static FloatBuffer Zeros(size_t size) {
    FloatBuffer buffer(size);
    std::memset(buffer.data(), 0, size * sizeof(float));
    return buffer;
  }

  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  size_t size() const { return size_; }
  absl::Span<float> span() { return {data(), size_}; }
  absl::Span<const float> span() const { return {data(), size_}; }

 private:
  struct Free {
    void operator()(float* data) const {
      ::operator delete (data, std::align_val_t{kAlignmentBytes});
    }
  };
  std::unique_ptr<float, Free> data_;
  size_t size_ = 0;
};

}  // namespace tfd::tensor

#endif  // TFD_TENSOR_FLOAT_BUFFER_H_
