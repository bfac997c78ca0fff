#include "tensor/accumulate.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "tensor/simd.h"

namespace tfd::tensor {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "payloads are read in place as little-endian numbers");

// A number at any address: compiled to an unaligned load or store.
template <typename Number>
struct __attribute__((packed, may_alias)) Unaligned {
  Number value;
};

struct Float32 {
  using Bits = float;
  TFD_SIMD_INLINE float Widen(float number) { return number; }
};

template <typename Type>
TFD_SIMD_INLINE void SetScaledBody(float weight, const std::byte* g, size_t n,
                                   float* __restrict sum) {
  const auto* in = reinterpret_cast<const Unaligned<typename Type::Bits>*>(g);
  for (size_t i = 0; i < n; ++i) sum[i] = weight * Type::Widen(in[i].value);
}

template <typename Type>
TFD_SIMD_INLINE void AddScaledBody(float weight, const std::byte* g, size_t n,
                                   float* __restrict sum) {
  const auto* in = reinterpret_cast<const Unaligned<typename Type::Bits>*>(g);
  for (size_t i = 0; i < n; ++i) sum[i] += weight * Type::Widen(in[i].value);
}

template <typename Type>
TFD_SIMD_INLINE void WidenBody(const std::byte* numbers, size_t n,
                               float* __restrict out) {
  const auto* in =
      reinterpret_cast<const Unaligned<typename Type::Bits>*>(numbers);
  for (size_t i = 0; i < n; ++i) out[i] = Type::Widen(in[i].value);
}

template <typename Type>
TFD_SIMD_INLINE void NarrowBody(const float* __restrict numbers, size_t n,
                                std::byte* out) {
  auto* to = reinterpret_cast<Unaligned<uint16_t>*>(out);
  for (size_t i = 0; i < n; ++i) to[i].value = Type::Narrow(numbers[i]);
}

#define TFD_KERNEL(name, type, parameters, arguments) \
  TFD_SIMD_INLINE void name##type##Body parameters {  \
    name##Body<type> arguments;                       \
  }                                                   \
  TFD_SIMD_FUNCTION(name##type, parameters, arguments)
#define TFD_SUM_KERNELS(type)                                          \
  TFD_KERNEL(SetScaled, type,                                          \
             (float weight, const std::byte* g, size_t n, float* sum), \
             (weight, g, n, sum))                                      \
  TFD_KERNEL(AddScaled, type,                                          \
             (float weight, const std::byte* g, size_t n, float* sum), \
             (weight, g, n, sum))
#define TFD_CONVERSION_KERNELS(type)                                         \
  TFD_KERNEL(Widen, type, (const std::byte* numbers, size_t n, float* out),  \
             (numbers, n, out))                                              \
  TFD_KERNEL(Narrow, type, (const float* numbers, size_t n, std::byte* out), \
             (numbers, n, out))

TFD_SUM_KERNELS(Float32)
TFD_SUM_KERNELS(Bfloat16)
TFD_SUM_KERNELS(Float16)
TFD_CONVERSION_KERNELS(Bfloat16)
TFD_CONVERSION_KERNELS(Float16)

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

// Calls `kernel(bytes, numbers, first)` for runs of whole numbers; one that two
// spans share is put together aside and is a run of its own.
template <size_t kBytes, typename Kernel>
void ForEachRun(absl::Span<const ByteSpan> spans, Kernel kernel) {
  std::byte shared[kBytes];
  size_t have = 0;
  size_t next = 0;
  for (const ByteSpan span : spans) {
    const std::byte* at = span.data();
    size_t left = span.size();
    while (have > 0 && have < kBytes && left > 0) {
      shared[have++] = *at++;
      --left;
    }
    if (have == kBytes) {
      kernel(shared, 1, next++);
      have = 0;
    }
    if (left == 0) continue;
    const size_t whole = left / kBytes;
    if (whole > 0) kernel(at, whole, next);
    next += whole;
    have = left % kBytes;
    std::memcpy(shared, at + whole * kBytes, have);
  }
  assert(have == 0);
}

using Scaled = void (*)(float weight, const std::byte* g, size_t n, float* sum);

void ForEachScaled(float weight, absl::Span<const ByteSpan> g,
                   absl::Span<float> sum, NumberType type,
                   const Scaled (&kernels)[3]) {
  assert(TotalBytes(g) == sum.size() * BytesPerNumber(type));
  const Scaled scaled = kernels[static_cast<size_t>(type)];
  const auto kernel = [&](const std::byte* bytes, size_t n, size_t first) {
    scaled(weight, bytes, n, sum.data() + first);
  };
  if (type == NumberType::kFloat32) {
    ForEachRun<sizeof(float)>(g, kernel);
  } else {
    ForEachRun<sizeof(uint16_t)>(g, kernel);
  }
}

}  // namespace

size_t TotalBytes(absl::Span<const ByteSpan> spans) {
  size_t total = 0;
  for (const ByteSpan span : spans) total += span.size();
  return total;
}

void SetScaled(float weight, absl::Span<const ByteSpan> g,
               absl::Span<float> sum, NumberType type) {
  ForEachScaled(weight, g, sum, type,
                {&SetScaledFloat32, &SetScaledBfloat16, &SetScaledFloat16});
}

void AddScaled(float weight, absl::Span<const ByteSpan> g,
               absl::Span<float> sum, NumberType type) {
  ForEachScaled(weight, g, sum, type,
                {&AddScaledFloat32, &AddScaledBfloat16, &AddScaledFloat16});
}

void Widen(NumberType type, absl::Span<const ByteSpan> spans,
           absl::Span<float> out) {
  assert(TotalBytes(spans) == out.size() * BytesPerNumber(type));
  if (type != NumberType::kFloat32) {
    ForEachRun<sizeof(uint16_t)>(
        spans, [&](const std::byte* bytes, size_t n, size_t first) {
          if (type == NumberType::kBfloat16) {
            WidenBfloat16(bytes, n, out.data() + first);
          } else {
            WidenFloat16(bytes, n, out.data() + first);
          }
        });
    return;
  }
  auto* to = reinterpret_cast<std::byte*>(out.data());
  for (const ByteSpan span : spans) {
    if (span.empty()) continue;
    std::memcpy(to, span.data(), span.size());
    to += span.size();
  }
}

void Narrow(NumberType type, absl::Span<const float> numbers, std::byte* out) {
  switch (type) {
    case NumberType::kFloat32:
      std::memcpy(out, numbers.data(), numbers.size() * sizeof(float));
      return;
    case NumberType::kBfloat16:
      return NarrowBfloat16(numbers.data(), numbers.size(), out);
    case NumberType::kFloat16:
      return NarrowFloat16(numbers.data(), numbers.size(), out);
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

absl::Span<const ByteSpan> NumberReader::Next(size_t numbers) {
  piece_.clear();
  Take(numbers * bytes_per_number_, /*keep=*/true);
  return piece_;
}

void NumberReader::SkipBytes(size_t bytes) { Take(bytes, /*keep=*/false); }

void NumberReader::Take(size_t bytes, bool keep) {
  while (bytes > 0) {
    const size_t here = std::min(bytes, spans_[span_].size() - offset_);
    if (keep && here > 0) {
      piece_.push_back(spans_[span_].subspan(offset_, here));
    }
    bytes -= here;
    offset_ += here;
    if (offset_ == spans_[span_].size()) {
      ++span_;
      offset_ = 0;
    }
  }
}

void Scale(float factor, absl::Span<float> values) {
  ScaleFlat(factor, values.size(), values.data());
}

}  // namespace tfd::tensor
