#include "data/permutation.h"

namespace tfd::data {
namespace {

// SplitMix64's increment: the golden ratio's fraction in 64 bits.
constexpr uint64_t kGoldenGamma = 0x9e3779b97f4a7c15;
// Halves of fewer bits have too few functions between them to mix well; a
// small n walks a few more cycles instead.
constexpr int kMinBits = 8;

uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

Permutation::Permutation(uint64_t size, uint64_t seed, uint64_t epoch)
    : size_(size) {
  int bits = kMinBits;
  while ((uint64_t{1} << bits) < size) ++bits;
  low_bits_ = bits / 2;
  low_mask_ = (uint64_t{1} << low_bits_) - 1;
  high_mask_ = (uint64_t{1} << (bits - low_bits_)) - 1;
  // Mixed one after the other, so that (seed, epoch + 1) has nothing to do
  // with (seed + 1, epoch).
  uint64_t state = Mix(Mix(seed + kGoldenGamma) + epoch + kGoldenGamma);
  for (uint64_t& key : keys_) {
    state += kGoldenGamma;
    key = Mix(state);
  }
}

uint64_t Permutation::Encrypt(uint64_t value) const {
  uint64_t low = value & low_mask_;
  uint64_t high = value >> low_bits_;
  for (int round = 0; round < kRounds; round += 2) {
    low ^= Mix(high ^ keys_[round]) & low_mask_;
    high ^= Mix(low ^ keys_[round + 1]) & high_mask_;
  }
  return (high << low_bits_) | low;
}

uint64_t Permutation::operator()(uint64_t index) const {
  do {
    index = Encrypt(index);
  } while (index >= size_);
  return index;
}

}  // namespace tfd::data
