#include "tensor/number_type.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tensor/accumulate.h"

namespace tfd::tensor {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(NumberTypeTest, Float16IsWhatTheStandardSays) {
  for (uint32_t number = 0; number < 0x10000; ++number) {
    const uint32_t exponent = number >> 10 & 0x1f;
    const auto fraction = static_cast<float>(number & 0x3ff);
    float expected =
        exponent == 0
            ? std::ldexp(fraction, -24)
            : std::ldexp(1024 + fraction, static_cast<int>(exponent) - 25);
    if (exponent == 31) expected = fraction == 0 ? kInfinity : kNan;
    if (number >= 0x8000) expected = -expected;
    const float wide = Float16::Widen(static_cast<uint16_t>(number));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(wide)) << number;
      EXPECT_TRUE(std::isnan(Float16::Widen(Float16::Narrow(wide)))) << number;
    } else {
      EXPECT_EQ(wide, expected) << number;
      EXPECT_EQ(std::signbit(wide), std::signbit(expected)) << number;
      EXPECT_EQ(Float16::Narrow(wide), number);
    }
  }
}

// Between every two neighbours: below, at and above the middle.
template <typename Type>
void ExpectNearestAndTiesToEven(uint16_t last_finite) {
  for (uint16_t number = 0; number < last_finite; ++number) {
    const float low = Type::Widen(number);
    const float high = Type::Widen(number + 1);
    const float middle = low / 2 + high / 2;
    const uint16_t even = number % 2 == 0 ? number : number + 1;
    ASSERT_EQ(Type::Narrow(middle), even) << number;
    ASSERT_EQ(Type::Narrow(-middle), even | 0x8000) << number;
    ASSERT_EQ(Type::Narrow(std::nextafter(middle, low)), number);
    ASSERT_EQ(Type::Narrow(std::nextafter(middle, high)), number + 1);
  }
}

TEST(NumberTypeTest, RoundsToTheNearestAndTiesToEven) {
  ExpectNearestAndTiesToEven<Float16>(0x7bff);
  ExpectNearestAndTiesToEven<Bfloat16>(0x7f7f);
}

TEST(NumberTypeTest, WhatIsTooLargeBecomesAnInfinity) {
  EXPECT_EQ(Float16::Widen(Float16::Narrow(65519)), 65504);
  EXPECT_EQ(Float16::Widen(Float16::Narrow(65520)), kInfinity);
  EXPECT_EQ(Float16::Widen(Float16::Narrow(-1e30f)), -kInfinity);
  EXPECT_EQ(Float16::Widen(Float16::Narrow(kInfinity)), kInfinity);
  EXPECT_EQ(Bfloat16::Widen(Bfloat16::Narrow(65520)), 65536);
  EXPECT_EQ(Bfloat16::Widen(Bfloat16::Narrow(3.4e38f)), kInfinity);
  EXPECT_EQ(Bfloat16::Widen(Bfloat16::Narrow(-kInfinity)), -kInfinity);
}

TEST(NumberTypeTest, ANanStaysOne) {
  for (uint32_t bits = 0x7f800001; bits < 0x80000000; bits += 0x1001) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const float nan = FloatOfBits(bits | sign);
      ASSERT_TRUE(std::isnan(Float16::Widen(Float16::Narrow(nan)))) << bits;
      ASSERT_TRUE(std::isnan(Bfloat16::Widen(Bfloat16::Narrow(nan)))) << bits;
    }
  }
}

// The loops for many numbers, in whatever instruction set there is here.
TEST(NumberTypeTest, ManyNumbersAreNarrowedAsOneIs) {
  for (const size_t count : {0, 1, 7, 8, 33, 10000}) {
    std::vector<float> numbers(count);
    for (size_t i = 0; i < count; ++i) {
      numbers[i] = FloatOfBits(static_cast<uint32_t>(i * 2654435761u));
    }
    // At an odd address.
    std::vector<std::byte> out(2 * count + 1);
    for (const NumberType type :
         {NumberType::kBfloat16, NumberType::kFloat16}) {
      Narrow(type, numbers, out.data() + 1);
      for (size_t i = 0; i < count; ++i) {
        uint16_t number = 0;
        std::memcpy(&number, out.data() + 1 + 2 * i, sizeof(number));
        EXPECT_EQ(number, type == NumberType::kBfloat16
                              ? Bfloat16::Narrow(numbers[i])
                              : Float16::Narrow(numbers[i]));
      }
    }
  }
}

}  // namespace
}  // namespace tfd::tensor
