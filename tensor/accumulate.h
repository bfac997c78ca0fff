// The loops of the exchange: sums of gradients as they arrive (in several
// spans of bytes, unaligned, a number cut in two by a span's end), copies.
// Payloads are little-endian float32, as is the machine.
//
// Vectorised for the best instruction set there is; every instruction set
// gives the same bits (each product and each sum is rounded on its own).
#ifndef TFD_TENSOR_ACCUMULATE_H_
#define TFD_TENSOR_ACCUMULATE_H_

#include <cstddef>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"

namespace tfd::tensor {

using ByteSpan = absl::Span<const std::byte>;

// The bytes in all.
size_t TotalBytes(absl::Span<const ByteSpan> spans);

// sum[i] = weight · g[i], and sum[i] += weight · g[i], for the floats g that
// the spans hold one after the other: TotalBytes(g) == 4 · sum.size().
void SetScaled(float weight, absl::Span<const ByteSpan> g,
               absl::Span<float> sum);
void AddScaled(float weight, absl::Span<const ByteSpan> g,
               absl::Span<float> sum);

// out = the spans one after the other; the sizes agree as above.
void CopyFloats(absl::Span<const ByteSpan> spans, absl::Span<float> out);

// Goes through spans in pieces of whole floats; a float may lie in two spans.
class FloatReader {
 public:
  // `spans` outlives the reader.
  explicit FloatReader(absl::Span<const ByteSpan> spans) : spans_(spans) {}

  // The next `floats`, which are there; valid until the next call.
  absl::Span<const ByteSpan> Next(size_t floats);

 private:
  absl::Span<const ByteSpan> spans_;
  size_t span_ = 0;
  size_t offset_ = 0;
  absl::InlinedVector<ByteSpan, 2> piece_;
};

// The first number that is a NaN or an infinity, or values.size().
size_t FirstNotFinite(absl::Span<const float> values);

// values[i] *= factor.
void Scale(float factor, absl::Span<float> values);

}  // namespace tfd::tensor

#endif  // TFD_TENSOR_ACCUMULATE_H_
