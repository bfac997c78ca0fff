// The loops of the exchange: sums of gradients as they arrive (in several
// spans of bytes, unaligned, a number cut in two by a span's end), conversions,
// copies. Payloads are little-endian, as is the machine.
//
// Vectorised for the best instruction set there is; every instruction set
// gives the same bits (each product and each sum is rounded on its own).
#ifndef TFD_TENSOR_ACCUMULATE_H_
#define TFD_TENSOR_ACCUMULATE_H_

#include <cstddef>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "tensor/number_type.h"

namespace tfd::tensor {

using ByteSpan = absl::Span<const std::byte>;

// The bytes in all.
size_t TotalBytes(absl::Span<const ByteSpan> spans);

// sum[i] = weight · g[i], and sum[i] += weight · g[i], for the numbers g that
// the spans hold one after the other: TotalBytes(g) == BytesPerNumber(type) ·
// sum.size(). Each g[i] is widened to float32 first.
void SetScaled(float weight, absl::Span<const ByteSpan> g,
               absl::Span<float> sum, NumberType type = NumberType::kFloat32);
void AddScaled(float weight, absl::Span<const ByteSpan> g,
               absl::Span<float> sum, NumberType type = NumberType::kFloat32);

// out = the numbers that the spans hold one after the other; the sizes agree as
// above.
void Widen(NumberType type, absl::Span<const ByteSpan> spans,
           absl::Span<float> out);
inline void CopyFloats(absl::Span<const ByteSpan> spans,
                       absl::Span<float> out) {
  Widen(NumberType::kFloat32, spans, out);
}

// Writes numbers[i] as BytesPerNumber(type) bytes, at any address.
void Narrow(NumberType type, absl::Span<const float> numbers, std::byte* out);

// Goes through spans in pieces of whole numbers; one may lie in two spans.
class NumberReader {
 public:
  // `spans` outlives the reader.
  explicit NumberReader(absl::Span<const ByteSpan> spans,
                        NumberType type = NumberType::kFloat32)
      : spans_(spans), bytes_per_number_(BytesPerNumber(type)) {}

  // Those after the next `bytes`, which are there.
  void SkipBytes(size_t bytes);
  // The next `numbers`, which are there; valid until the next call.
  absl::Span<const ByteSpan> Next(size_t numbers);

 private:
  void Take(size_t bytes, bool keep);

  absl::Span<const ByteSpan> spans_;
  size_t bytes_per_number_;
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
