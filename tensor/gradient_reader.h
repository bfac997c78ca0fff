// A pushed gradient, read block by block, however it is written.
#ifndef TFD_TENSOR_GRADIENT_READER_H_
#define TFD_TENSOR_GRADIENT_READER_H_

#include "absl/types/span.h"
#include "tensor/accumulate.h"
#include "tensor/chunk_codec.h"

namespace tfd::tensor {

// Reads from the first element on. Thread-compatible.
class GradientReader {
 public:
  // `payload` outlives the reader, and has the size that `header` says; that of
  // a slot without one is never read.
  GradientReader(const ChunkRequest& header, const Payload& payload);

  // sum[i] = weight · g, and sum[i] += weight · g, for the next sum.size()
  // elements g.
  void SetNext(float weight, absl::Span<float> sum);
  void AddNext(float weight, absl::Span<float> sum);

 private:
  const NumberType type_;
  NumberReader numbers_;
};

}  // namespace tfd::tensor

#endif  // TFD_TENSOR_GRADIENT_READER_H_
