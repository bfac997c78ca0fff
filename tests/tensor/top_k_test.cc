#include "tensor/top_k.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "tensor/accumulate.h"
#include "tensor/gradient_reader.h"

namespace tfd::tensor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr NumberType kTypes[] = {NumberType::kFloat32, NumberType::kBfloat16,
                                 NumberType::kFloat16};

// Of both signs and many magnitudes, with equal ones among them.
std::vector<float> RandomGradient(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> numbers(0, 0.01f);
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = i % 5 == 4 ? -values[i - 1] : numbers(random);
  }
  return values;
}

struct Entries {
  std::vector<uint32_t> places;
  std::vector<float> values;
};

Entries Encode(NumberType type, size_t count,
               const std::vector<float>& gradient,
               std::vector<float>& residual) {
  std::vector<std::byte> bytes(count * BytesPerEntry(type));
  EncodeTopK(type, count, gradient, absl::MakeSpan(residual), bytes.data());
  Entries entries;
  entries.places.resize(count);
  entries.values.resize(count);
  const ByteSpan all(bytes);
  std::memcpy(entries.places.data(), all.data(), count * sizeof(uint32_t));
  Widen(type, {all.subspan(count * sizeof(uint32_t))},
        absl::MakeSpan(entries.values));
  return entries;
}

TEST(TopKTest, TakesTheLargestAndOfEqualOnesTheFirst) {
  for (const size_t n : {1, 2, 10, 1000}) {
    const std::vector<float> gradient = RandomGradient(n, 1);
    std::vector<uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return std::abs(gradient[a]) > std::abs(gradient[b]);
    });
    for (size_t count = 1; count <= n; count += 1 + count / 3) {
      std::vector<uint32_t> expected(order.begin(), order.begin() + count);
      std::sort(expected.begin(), expected.end());
      std::vector<float> residual(n);
      const Entries entries =
          Encode(NumberType::kFloat32, count, gradient, residual);
      EXPECT_EQ(entries.places, expected) << n << " " << count;
      for (size_t i = 0; i < count; ++i) {
        EXPECT_EQ(entries.values[i], gradient[expected[i]]);
        EXPECT_EQ(residual[expected[i]], 0);
      }
    }
  }
}

// Over many steps: what was sent and what is left are what was given.
TEST(TopKTest, NothingIsLost) {
  constexpr size_t kElements = 500;
  for (const NumberType type : kTypes) {
    std::vector<float> residual(kElements);
    std::vector<double> given(kElements);
    std::vector<double> sent(kElements);
    for (uint32_t step = 0; step < 100; ++step) {
      std::vector<float> gradient = RandomGradient(kElements, step);
      // Each goes somewhere in the long run.
      for (float& value : gradient) value += 0.02f;
      const Entries entries = Encode(type, 25, gradient, residual);
      for (size_t i = 0; i < kElements; ++i) given[i] += gradient[i];
      for (size_t i = 0; i < entries.places.size(); ++i) {
        sent[entries.places[i]] += entries.values[i];
      }
    }
    for (size_t i = 0; i < kElements; ++i) {
      EXPECT_NEAR(sent[i] + residual[i], given[i], 1e-5) << i;
    }
    // Nor is any left for ever.
    EXPECT_EQ(std::count(sent.begin(), sent.end(), 0), 0);
  }
}

TEST(TopKTest, WhatIsNoNumberIsSentAndForgotten) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> residual(6);
  const Entries entries = Encode(NumberType::kFloat32, 2,
                                 {1, -infinity, 2, nan, infinity, 3}, residual);
  EXPECT_THAT(entries.places, ElementsAre(1, 3));
  EXPECT_EQ(entries.values[0], -infinity);
  EXPECT_TRUE(std::isnan(entries.values[1]));
  EXPECT_THAT(residual, ElementsAre(1, 0, 2, 0, 0, 3));
  // What 16 bits make an infinity of.
  EXPECT_THAT(
      Encode(NumberType::kFloat16, 1, {0, 0, 1e6, 0, 0, 0}, residual).values,
      ElementsAre(infinity));
  EXPECT_THAT(residual, ElementsAre(1, 0, 0, 0, 0, 3));
}

// ----------------------------------------------------- reading them again

struct Push {
  ChunkRequest header;
  Payload payload;
};

// The bytes of entries in spans of `span_bytes` each.
Push MakePush(NumberType type, const std::vector<uint32_t>& places,
              const std::vector<float>& values, size_t span_bytes = 1 << 20) {
  Push push;
  push.header.payload_type = type;
  push.header.entries = static_cast<uint32_t>(places.size());
  const size_t places_bytes = places.size() * sizeof(uint32_t);
  auto bytes = std::make_shared<std::vector<std::byte>>(
      places_bytes + values.size() * BytesPerNumber(type));
  std::memcpy(bytes->data(), places.data(), places_bytes);
  Narrow(type, values, bytes->data() + places_bytes);
  std::vector<ByteSpan> spans;
  for (size_t at = 0; at < bytes->size(); at += span_bytes) {
    spans.push_back(ByteSpan(*bytes).subspan(at, span_bytes));
  }
  push.payload = Payload(spans, bytes);
  return push;
}

TEST(GradientReaderTest, EntriesAreSummedAsTheirDenseGradientIs) {
  constexpr size_t kElements = 3000;
  const std::vector<float> gradient = RandomGradient(kElements, 5);
  for (const NumberType type : kTypes) {
    for (const size_t count : {1, 2, 127, 128, 129, 700, 3000}) {
      std::vector<float> residual(kElements);
      const Entries entries = Encode(type, count, gradient, residual);
      std::vector<float> dense(kElements);
      for (size_t i = 0; i < count; ++i) {
        dense[entries.places[i]] = entries.values[i];
      }
      for (const size_t span_bytes : {1, 3, 7, 1000, 1 << 20}) {
        const Push push =
            MakePush(type, entries.places, entries.values, span_bytes);
        ASSERT_TRUE(CheckGradient(push.header, push.payload, kElements).ok());
        GradientReader reader(push.header, push.payload);
        // In blocks that end anywhere.
        for (size_t begin = 0; begin < kElements;) {
          const size_t n = std::min<size_t>(kElements - begin, 1 + begin % 977);
          std::vector<float> sum(n, 7);
          const bool add = begin % 2 == 1;
          if (add) {
            reader.AddNext(0.5f, absl::MakeSpan(sum));
          } else {
            reader.SetNext(0.5f, absl::MakeSpan(sum));
          }
          for (size_t i = 0; i < n; ++i) {
            const float product = 0.5f * dense[begin + i];
            ASSERT_EQ(sum[i], add ? 7 + product : product) << begin + i;
          }
          begin += n;
        }
      }
    }
  }
}

TEST(GradientReaderTest, MalformedEntriesAreRefusedByField) {
  const NumberType type = NumberType::kBfloat16;
  EXPECT_TRUE(CheckGradient({}, Payload({}, nullptr), 0).ok());
  const auto check = [](const Push& push, const std::string& words) {
    const absl::Status status = CheckGradient(push.header, push.payload, 10);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << words;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  };
  check(MakePush(type, {3, 3}, {1, 2}),
        "payload: the place 3 of entry 1 is not");
  check(MakePush(type, {3, 2}, {1, 2}),
        "payload: the place 2 of entry 1 is not");
  check(MakePush(type, {3, 10}, {1, 2}), "payload: the place 10 of entry 1");
  check(MakePush(type, {0xffffffff}, {1}), "payload: the place 4294967295");
  check(MakePush(type, {3, 4}, {1}), "payload: 10 bytes, but 2 entries has 12");
  check(MakePush(type, {3}, {1, 2}), "payload: 8 bytes, but 1 entries has 6");
  check(MakePush(type, std::vector<uint32_t>(11), std::vector<float>(11)),
        "entries: 11, but chunk 0 has 10");
  Push push = MakePush(type, {3}, {1});
  push.header.entries = 0;
  check(push, "payload: 6 bytes, but chunk 0 has 20 as bfloat16");
  push.header.entries = 0xffffffff;
  check(push, "entries: 4294967295, but");
}

// A peer's memory may change between the check and the sum.
TEST(GradientReaderTest, PlacesThatChangedAfterTheCheckDoNoHarm) {
  std::vector<uint32_t> memory = {
      1, 4, 7, BitsOfFloat(1), BitsOfFloat(1), BitsOfFloat(1)};
  const ByteSpan bytes(reinterpret_cast<const std::byte*>(memory.data()),
                       memory.size() * sizeof(uint32_t));
  const Payload payload = Payload::InPlace(bytes, {}, nullptr);
  ChunkRequest header;
  header.entries = 3;
  ASSERT_TRUE(CheckGradient(header, payload, 10).ok());
  for (const uint32_t place : {0u, 100u, 0xffffffffu}) {
    memory[1] = place;
    GradientReader reader(header, payload);
    // Guarded by the sanitizers.
    std::vector<float> first(4);
    std::vector<float> second(6);
    reader.SetNext(1, absl::MakeSpan(first));
    reader.SetNext(1, absl::MakeSpan(second));
    EXPECT_EQ(first[1], 1);
  }
}

}  // namespace
}  // namespace tfd::tensor
