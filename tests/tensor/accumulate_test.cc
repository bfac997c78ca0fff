#include "tensor/accumulate.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

namespace tfd::tensor {
namespace {

std::vector<float> Numbers(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> numbers(-10, 10);
  std::vector<float> values(count);
  for (float& value : values) value = numbers(random);
  return values;
}

// Bytes of numbers, at an odd address, and cut at random places into spans,
// each at an address of its own.
class ScatteredBytes {
 public:
  template <typename Number>
  ScatteredBytes(const std::vector<Number>& values, uint32_t seed,
                 size_t max_span) {
    std::mt19937 random(seed);
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    const size_t size = values.size() * sizeof(Number);
    for (size_t at = 0; at < size;) {
      const size_t n = std::min(size - at, random() % max_span);
      const size_t offset = random() % 8;
      auto& part = parts_.emplace_back(offset + n);
      if (n > 0) std::memcpy(part.data() + offset, bytes + at, n);
      spans_.push_back({part.data() + offset, n});
      at += n;
    }
  }
  absl::Span<const ByteSpan> spans() const { return spans_; }

 private:
  std::vector<std::vector<std::byte>> parts_;
  std::vector<ByteSpan> spans_;
};

TEST(AccumulateTest, SumsAreTheSameWhereverTheBytesAre) {
  for (const size_t count : {0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 1000, 4099}) {
    const std::vector<float> g = Numbers(count, 1);
    const std::vector<float> start = Numbers(count, 2);
    std::vector<float> set(count);
    std::vector<float> added = start;
    for (size_t i = 0; i < count; ++i) {
      set[i] = 0.3f * g[i];
      const float product = 1.7f * g[i];
      added[i] = added[i] + product;
    }
    for (const size_t max_span : {2, 5, 9, 64, 1000, 100000}) {
      const ScatteredBytes bytes(g, static_cast<uint32_t>(max_span), max_span);
      EXPECT_EQ(TotalBytes(bytes.spans()), count * sizeof(float));
      std::vector<float> sum(count, 99);
      SetScaled(0.3f, bytes.spans(), absl::MakeSpan(sum));
      EXPECT_EQ(sum, set) << count << " " << max_span;
      sum = start;
      AddScaled(1.7f, bytes.spans(), absl::MakeSpan(sum));
      EXPECT_EQ(sum, added) << count << " " << max_span;
      CopyFloats(bytes.spans(), absl::MakeSpan(sum));
      EXPECT_EQ(sum, g) << count << " " << max_span;
    }
  }
}

// What is summed is exactly what float32 would have brought, had it been
// rounded before.
TEST(AccumulateTest, SumsOfFewerBitsAreThoseOfTheRoundedNumbers) {
  for (const NumberType type : {NumberType::kBfloat16, NumberType::kFloat16}) {
    for (const size_t count : {0, 1, 2, 15, 17, 65, 1000, 4099}) {
      std::vector<float> g = Numbers(count, 1);
      // Among them numbers that are subnormal as float16.
      for (size_t i = 0; i < count; i += 3) g[i] *= 1e-6f;
      std::vector<uint16_t> narrow(count);
      Narrow(type, g, reinterpret_cast<std::byte*>(narrow.data()));
      std::vector<float> rounded(count);
      for (size_t i = 0; i < count; ++i) {
        rounded[i] = type == NumberType::kBfloat16
                         ? Bfloat16::Widen(Bfloat16::Narrow(g[i]))
                         : Float16::Widen(Float16::Narrow(g[i]));
      }
      const std::vector<float> start = Numbers(count, 2);
      const ByteSpan flat(reinterpret_cast<const std::byte*>(rounded.data()),
                          count * sizeof(float));
      std::vector<float> set(count);
      std::vector<float> added = start;
      SetScaled(0.3f, {flat}, absl::MakeSpan(set));
      AddScaled(1.7f, {flat}, absl::MakeSpan(added));
      for (const size_t max_span : {2, 3, 5, 64, 1000, 100000}) {
        const ScatteredBytes bytes(narrow, static_cast<uint32_t>(max_span),
                                   max_span);
        std::vector<float> sum(count, 99);
        SetScaled(0.3f, bytes.spans(), absl::MakeSpan(sum), type);
        EXPECT_EQ(sum, set) << count << " " << max_span;
        sum = start;
        AddScaled(1.7f, bytes.spans(), absl::MakeSpan(sum), type);
        EXPECT_EQ(sum, added) << count << " " << max_span;
        Widen(type, bytes.spans(), absl::MakeSpan(sum));
        EXPECT_EQ(sum, rounded) << count << " " << max_span;
      }
    }
  }
}

TEST(AccumulateTest, ScaleMultiplies) {
  std::vector<float> values = Numbers(100, 3);
  std::vector<float> expected = values;
  for (float& value : expected) value *= 0.37f;
  Scale(0.37f, absl::MakeSpan(values));
  EXPECT_EQ(values, expected);
}

}  // namespace
}  // namespace tfd::tensor
