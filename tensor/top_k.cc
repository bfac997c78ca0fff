#include "tensor/top_k.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "tensor/accumulate.h"
#include "tensor/simd.h"

namespace tfd::tensor {
namespace {

constexpr uint32_t kInfinityBits = 0x7f800000;

// In the order of magnitudes; NaNs above all.
uint32_t Magnitude(float value) { return BitsOfFloat(value) & 0x7fffffff; }

TFD_SIMD_INLINE void AddFlatBody(const float* __restrict from, size_t n,
                                 float* __restrict to) {
  for (size_t i = 0; i < n; ++i) to[i] += from[i];
}
TFD_SIMD_FUNCTION(AddFlat, (const float* from, size_t n, float* to),
                  (from, n, to))

// All magnitudes above `bits` are among the largest, and so many that are equal
// to it.
struct Threshold {
  uint32_t bits = 0;
  size_t equal = 0;
};

// The digits of the magnitude that `count` numbers reach, from the highest: one
// pass over the numbers for each digit, and no memory but a histogram.
Threshold Select(absl::Span<const float> values, size_t count) {
  struct Digit {
    int shift;
    int bits;
  };
  constexpr Digit kDigits[] = {{20, 11}, {9, 11}, {0, 9}};
  Threshold threshold;
  threshold.equal = count;
  for (const Digit digit : kDigits) {
    std::array<uint32_t, 1 << 11> histogram = {};
    const uint32_t mask = (1u << digit.bits) - 1;
    for (const float value : values) {
      const uint32_t magnitude = Magnitude(value);
      if (magnitude >> digit.shift >> digit.bits != threshold.bits) continue;
      ++histogram[magnitude >> digit.shift & mask];
    }
    uint32_t bin = mask;
    while (histogram[bin] < threshold.equal)
      threshold.equal -= histogram[bin--];
    threshold.bits = threshold.bits << digit.bits | bin;
  }
  return threshold;
}

// Gives the rounded number.
template <typename Type>
float WriteNarrow(float value, std::byte* out) {
  const uint16_t number = Type::Narrow(value);
  std::memcpy(out, &number, sizeof(number));
  return Type::Widen(number);
}

float WriteValue(NumberType type, float value, std::byte* out) {
  switch (type) {
    case NumberType::kFloat32:
      std::memcpy(out, &value, sizeof(value));
      return value;
    case NumberType::kBfloat16:
      return WriteNarrow<Bfloat16>(value, out);
    case NumberType::kFloat16:
      return WriteNarrow<Float16>(value, out);
  }
  return 0;
}

}  // namespace

void EncodeTopK(NumberType type, size_t count, absl::Span<const float> gradient,
                absl::Span<float> residual, std::byte* out) {
  const size_t n = gradient.size();
  assert(count >= 1 && count <= n && residual.size() == n);
  AddFlat(gradient.data(), n, residual.data());
  Threshold threshold = Select(residual, count);
  std::byte* places = out;
  std::byte* values = out + count * sizeof(uint32_t);
  for (size_t i = 0; i < n; ++i) {
    const uint32_t magnitude = Magnitude(residual[i]);
    if (magnitude < threshold.bits) continue;
    if (magnitude == threshold.bits) {
      if (threshold.equal == 0) continue;
      --threshold.equal;
    }
    const auto place = static_cast<uint32_t>(i);
    std::memcpy(places, &place, sizeof(place));
    places += sizeof(place);
    const float sent = WriteValue(type, residual[i], values);
    values += BytesPerNumber(type);
    // What the receiver takes for diverged must not come back at every step.
    residual[i] = std::isfinite(sent) ? residual[i] - sent : 0;
  }
  if (threshold.bits < kInfinityBits) return;
  for (float& value : residual) {
    if (!std::isfinite(value)) value = 0;
  }
}

}  // namespace tfd::tensor
