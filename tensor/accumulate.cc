#include "tensor/accumulate.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "tensor/simd.h"

namespace tfd::tensor {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "payloads are read in place as little-endian float32");

// A float at any address: compiled to an unaligned load.
struct __attribute__((packed, may_alias)) UnalignedFloat {
  float value;
};

TFD_SIMD_INLINE void SetScaledFlatBody(float weight, const std::byte* g,
                                       size_t n, float* __restrict sum) {
  const auto* in = reinterpret_cast<const UnalignedFloat*>(g);
  for (size_t i = 0; i < n; ++i) sum[i] = weight * in[i].value;
}
TFD_SIMD_FUNCTION(SetScaledFlat,
                  (float weight, const std::byte* g, size_t n, float* sum),
                  (weight, g, n, sum))

TFD_SIMD_INLINE void AddScaledFlatBody(float weight, const std::byte* g,
                                       size_t n, float* __restrict sum) {
  const auto* in = reinterpret_cast<const UnalignedFloat*>(g);
  for (size_t i = 0; i < n; ++i) sum[i] += weight * in[i].value;
}
TFD_SIMD_FUNCTION(AddScaledFlat,
                  (float weight, const std::byte* g, size_t n, float* sum),
                  (weight, g, n, sum))

// A number is finite if and only if 0 · number is 0; a NaN stays in the sum.
TFD_SIMD_INLINE void SumOfZeroesBody(const float* values, size_t n,
                                     float* sum) {
  constexpr size_t kLanes = 64;
  float lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += 0.0f * values[i + lane];
    }
  }
  float total = 0;
  for (; i < n; ++i) total += 0.0f * values[i];
  for (const float lane : lanes) total += lane;
  *sum = total;
}
TFD_SIMD_FUNCTION(SumOfZeroes, (const float* values, size_t n, float* sum),
                  (values, n, sum))

TFD_SIMD_INLINE void ScaleFlatBody(float factor, size_t n, float* values) {
  for (size_t i = 0; i < n; ++i) values[i] *= factor;
}
TFD_SIMD_FUNCTION(ScaleFlat, (float factor, size_t n, float* values),
                  (factor, n, values))

// Calls `kernel(bytes, floats, first)` for runs of whole floats; a float that
// two spans share is put together aside and is a run of its own.
template <typename Kernel>
void ForEachRun(absl::Span<const ByteSpan> spans, Kernel kernel) {
  std::byte shared[sizeof(float)];
  size_t have = 0;
  size_t next = 0;
  for (const ByteSpan span : spans) {
    const std::byte* at = span.data();
    size_t left = span.size();
    while (have > 0 && have < sizeof(float) && left > 0) {
      shared[have++] = *at++;
      --left;
    }
    if (have == sizeof(float)) {
      kernel(shared, 1, next++);
      have = 0;
    }
    if (left == 0) continue;
    const size_t whole = left / sizeof(float);
    if (whole > 0) kernel(at, whole, next);
    next += whole;
    have = left % sizeof(float);
    std::memcpy(shared, at + whole * sizeof(float), have);
  }
  assert(have == 0);
}

}  // namespace

size_t TotalBytes(absl::Span<const ByteSpan> spans) {
  size_t total = 0;
  for (const ByteSpan span : spans) total += span.size();
  return total;
}

void SetScaled(float weight, absl::Span<const ByteSpan> g,
               absl::Span<float> sum) {
  assert(TotalBytes(g) == sum.size() * sizeof(float));
  ForEachRun(g, [&](const std::byte* bytes, size_t n, size_t first) {
    SetScaledFlat(weight, bytes, n, sum.data() + first);
  });
}

void AddScaled(float weight, absl::Span<const ByteSpan> g,
               absl::Span<float> sum) {
  assert(TotalBytes(g) == sum.size() * sizeof(float));
  ForEachRun(g, [&](const std::byte* bytes, size_t n, size_t first) {
    AddScaledFlat(weight, bytes, n, sum.data() + first);
  });
}

void CopyFloats(absl::Span<const ByteSpan> spans, absl::Span<float> out) {
  assert(TotalBytes(spans) == out.size() * sizeof(float));
  auto* to = reinterpret_cast<std::byte*>(out.data());
  for (const ByteSpan span : spans) {
    if (span.empty()) continue;
    std::memcpy(to, span.data(), span.size());
    to += span.size();
  }
}

size_t FirstNotFinite(absl::Span<const float> values) {
  float zero = 0;
  SumOfZeroes(values.data(), values.size(), &zero);
  if (zero == 0) return values.size();
  size_t i = 0;
  while (std::isfinite(values[i])) ++i;
  return i;
}

absl::Span<const ByteSpan> FloatReader::Next(size_t floats) {
  piece_.clear();
  size_t left = floats * sizeof(float);
  while (left > 0) {
    const size_t here = std::min(left, spans_[span_].size() - offset_);
    if (here > 0) piece_.push_back(spans_[span_].subspan(offset_, here));
    left -= here;
    offset_ += here;
    if (offset_ == spans_[span_].size()) {
      ++span_;
      offset_ = 0;
    }
  }
  return piece_;
}

void Scale(float factor, absl::Span<float> values) {
  ScaleFlat(factor, values.size(), values.data());
}

}  // namespace tfd::tensor
