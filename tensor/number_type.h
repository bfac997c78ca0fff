// How the numbers of a payload are written, and the conversions of one number.
// Every instruction set gives the same bits: they are made of integer
// operations and of one exact subtraction.
#ifndef TFD_TENSOR_NUMBER_TYPE_H_
#define TFD_TENSOR_NUMBER_TYPE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tfd::tensor {

// All little-endian. The smaller ones are float32 rounded to the nearest, ties
// to even; what is too large becomes an infinity.
enum class NumberType : uint8_t { kFloat32, kBfloat16, kFloat16 };

constexpr size_t BytesPerNumber(NumberType type) {
  return type == NumberType::kFloat32 ? sizeof(float) : sizeof(uint16_t);
}

constexpr const char* NumberTypeName(NumberType type) {
  switch (type) {
    case NumberType::kFloat32:
      return "float32";
    case NumberType::kBfloat16:
      return "bfloat16";
    case NumberType::kFloat16:
      return "float16";
  }
  return "";
}

#define TFD_NUMBER_INLINE static inline __attribute__((always_inline))

TFD_NUMBER_INLINE uint32_t BitsOfFloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

TFD_NUMBER_INLINE float FloatOfBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

struct Bfloat16 {
  using Bits = uint16_t;
  TFD_NUMBER_INLINE float Widen(uint16_t number) {
    return FloatOfBits(static_cast<uint32_t>(number) << 16);
  }
  TFD_NUMBER_INLINE uint16_t Narrow(float value) {
    const uint32_t bits = BitsOfFloat(value);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    // Rounding could make an infinity of a NaN.
    const uint32_t nan = bits >> 16 | 0x40;
    return static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? nan
                                                                  : rounded);
  }
};

// After Fabian Giesen, "Float->half variants"
// (https://gist.github.com/rygorous/2156668).
struct Float16 {
  using Bits = uint16_t;
  TFD_NUMBER_INLINE float Widen(uint16_t number) {
    constexpr uint32_t kExponent = 0x7c00u << 13;
    constexpr uint32_t kBias = (127 - 15) << 23;
    const uint32_t sign = static_cast<uint32_t>(number & 0x8000) << 16;
    const uint32_t bits = static_cast<uint32_t>(number & 0x7fff) << 13;
    const uint32_t exponent = bits & kExponent;
    // Infinities and NaNs keep an exponent of ones; the smallest numbers have
    // no leading one, which is added and taken away again.
    const uint32_t subnormal = BitsOfFloat(
        FloatOfBits(bits + kBias + (1u << 23)) - FloatOfBits(113u << 23));
    const uint32_t normal = bits + (exponent == kExponent ? 2 * kBias : kBias);
    return FloatOfBits((exponent == 0 ? subnormal : normal) | sign);
  }
  TFD_NUMBER_INLINE uint16_t Narrow(float value) {
    constexpr uint32_t kInfinity = 0x7f800000;
    constexpr uint32_t kTooLarge = (127 + 16) << 23;
    constexpr uint32_t kSmallestNormal = 113u << 23;
    // Added to a small number it moves the bits that stay to the right end, and
    // the addition rounds.
    constexpr uint32_t kMagic = (127u - 15 + 23 - 10 + 1) << 23;
    const uint32_t sign = BitsOfFloat(value) & 0x80000000;
    const uint32_t bits = BitsOfFloat(value) ^ sign;
    const uint32_t special = bits > kInfinity ? 0x7e00 : 0x7c00;
    const uint32_t subnormal =
        BitsOfFloat(FloatOfBits(bits) + FloatOfBits(kMagic)) - kMagic;
    const uint32_t normal =
        (bits - ((127u - 15) << 23) + 0xfff + (bits >> 13 & 1)) >> 13;
    const uint32_t number = bits >= kTooLarge        ? special
                            : bits < kSmallestNormal ? subnormal
                                                     : normal;
    return static_cast<uint16_t>(number | sign >> 16);
  }
};

#undef TFD_NUMBER_INLINE

}  // namespace tfd::tensor

#endif  // TFD_TENSOR_NUMBER_TYPE_H_
