#include "data/permutation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace tfd::data {
namespace {

std::vector<uint64_t> Order(uint64_t size, uint64_t seed, uint64_t epoch) {
  const Permutation permutation(size, seed, epoch);
  std::vector<uint64_t> order(size);
  for (uint64_t i = 0; i < size; ++i) order[i] = permutation(i);
  return order;
}

class PermutationSizeTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(PermutationSizeTest, EveryNumberComesOnce) {
  const uint64_t size = GetParam();
  for (uint64_t epoch = 0; epoch < 5; ++epoch) {
    std::vector<bool> seen(size, false);
    for (const uint64_t number : Order(size, 42, epoch)) {
      ASSERT_LT(number, size);
      ASSERT_FALSE(seen[number]) << number << " twice";
      seen[number] = true;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, PermutationSizeTest,
                         ::testing::Values(1, 2, 3, 4, 5, 7, 8, 9, 97, 127, 128,
                                           129, 255, 256, 257, 511, 512, 513,
                                           1000, 4093, 4095, 4096, 4097, 10007,
                                           60000, 65535, 65536, 65537));

TEST(PermutationTest, SameArgumentsGiveTheSameOrder) {
  EXPECT_EQ(Order(1000, 7, 3), Order(1000, 7, 3));
}

TEST(PermutationTest, TheOrderIsTheSameOnEveryMachineAndInEveryVersion) {
  // A checkpoint's cursor counts on it.
  const Permutation permutation(60000, 1, 0);
  std::vector<uint64_t> head;
  for (uint64_t i = 0; i < 5; ++i) head.push_back(permutation(i));
  EXPECT_EQ(head, (std::vector<uint64_t>{18461, 32159, 7187, 4715, 12506}));
}

// How many places hold the same number in both.
int Agreements(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b) {
  int same = 0;
  for (size_t i = 0; i < a.size(); ++i) same += a[i] == b[i] ? 1 : 0;
  return same;
}

TEST(PermutationTest, EpochsAndSeedsHaveNothingToDoWithEachOther) {
  // Two random orders agree in one place on average, whatever the size (a
  // Poisson distribution): 12 are as good as impossible.
  const auto order = Order(10000, 5, 9);
  EXPECT_LT(Agreements(order, Order(10000, 5, 10)), 12);
  EXPECT_LT(Agreements(order, Order(10000, 6, 9)), 12);
  EXPECT_LT(Agreements(order, Order(10000, 6, 8)), 12);
  EXPECT_LT(Agreements(order, Order(10000, 9, 5)), 12);
}

TEST(PermutationTest, EveryNumberIsAsLikelyInEveryPlace) {
  for (const uint64_t size : {2, 3, 5, 8, 13}) {
    constexpr int kEpochs = 5000;
    std::vector<std::vector<int>> counts(size, std::vector<int>(size));
    for (int epoch = 0; epoch < kEpochs; ++epoch) {
      const Permutation permutation(size, 11, epoch);
      for (uint64_t i = 0; i < size; ++i) ++counts[i][permutation(i)];
    }
    const double expected = static_cast<double>(kEpochs) / size;
    const double five_sigma = 5 * std::sqrt(expected * (1 - 1.0 / size));
    for (uint64_t i = 0; i < size; ++i) {
      for (uint64_t number = 0; number < size; ++number) {
        EXPECT_NEAR(counts[i][number], expected, five_sigma)
            << number << " at " << i << " of " << size;
      }
    }
  }
}

TEST(PermutationTest, NeighboursInTheDataAreNotNeighboursInTheOrder) {
  constexpr uint64_t kSize = 60000;
  const auto order = Order(kSize, 1, 0);
  // Successive places: the numbers' differences and their correlation.
  double sum = 0;
  int near = 0;
  for (uint64_t i = 0; i + 1 < kSize; ++i) {
    const double a = static_cast<double>(order[i]) / kSize - 0.5;
    const double b = static_cast<double>(order[i + 1]) / kSize - 0.5;
    sum += a * b;
    near += std::abs(a - b) < 0.001 ? 1 : 0;
  }
  EXPECT_LT(std::abs(12 * sum / kSize), 0.02);
  EXPECT_NEAR(near, 0.002 * kSize, 60);
}

}  // namespace
}  // namespace tfd::data
