// A pseudo-random order of 0 … n-1 that needs no memory: any place of it can be
// computed by itself.
//
// A Feistel network (M. Luby, C. Rackoff, "How to construct pseudorandom
// permutations from pseudorandom functions", 1988) permutes the numbers of as
// many bits as n needs; results that are not below n are put in again until one
// is ("cycle-walking": J. Black, P. Rogaway, "Ciphers with arbitrary finite
// domains", 2002), less than twice on average. The round function is the
// finaliser of SplitMix64 (G. Steele, D. Lea, C. Flood, 2014).
#ifndef TFD_DATA_PERMUTATION_H_
#define TFD_DATA_PERMUTATION_H_

#include <array>
#include <cstdint>

namespace tfd::data {

// Immutable, thread-safe. Equal arguments give the same order on every machine.
class Permutation {
 public:
  // `size` is at least 1 and at most 2^62.
  Permutation(uint64_t size, uint64_t seed, uint64_t epoch);

  // The number at place `index` < size.
  uint64_t operator()(uint64_t index) const;

 private:
  // Four make an unbiased order of large halves; the unequal and small ones of
  // small sizes take more.
  static constexpr int kRounds = 8;

  uint64_t Encrypt(uint64_t value) const;

  uint64_t size_;
  int low_bits_;
  uint64_t low_mask_;
  uint64_t high_mask_;
  std::array<uint64_t, kRounds> keys_;
};

}  // namespace tfd::data

#endif  // TFD_DATA_PERMUTATION_H_
