#include "common/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace tfd {
namespace {

// The polynomial 0x1EDC6F41, bits reversed.
constexpr uint32_t kPolynomial = 0x82F63B78;

using Table = std::array<uint32_t, 256>;

constexpr Table MakeTable() {
  Table table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    }
    table[byte] = crc;
  }
  return table;
}

constexpr Table kTable = MakeTable();

// All functions below take and give the register: the checksum, inverted.
uint32_t ExtendByTable(uint32_t crc, const unsigned char* data,
                       size_t size_bytes) {
  for (; size_bytes > 0; ++data, --size_bytes) {
    crc = kTable[(crc ^ *data) & 0xFF] ^ (crc >> 8);
  }
  return crc;
}

#if defined(__x86_64__)
// The instruction takes three cycles but one can start in each: three lanes of
// this many bytes go side by side and are put together afterwards.
constexpr size_t kLaneBytes = 1024;

// What kLaneBytes of zeros make of a register. That is linear over its bits,
// so four tables, one for each of its bytes, say it all.
class ZeroLane {
 public:
  ZeroLane() {
    std::array<uint32_t, 32> of_bit{};
    const std::array<unsigned char, kLaneBytes> zeros{};
    for (size_t bit = 0; bit < 32; ++bit) {
      of_bit[bit] =
          ExtendByTable(uint32_t{1} << bit, zeros.data(), zeros.size());
    }
    for (size_t byte = 0; byte < 4; ++byte) {
      for (size_t value = 0; value < 256; ++value) {
        for (size_t bit = 0; bit < 8; ++bit) {
          if ((value >> bit & 1) == 0) continue;
          tables_[byte][value] ^= of_bit[8 * byte + bit];
        }
      }
    }
  }

  uint32_t Apply(uint64_t crc) const {
    return tables_[0][crc & 0xFF] ^ tables_[1][crc >> 8 & 0xFF] ^
           tables_[2][crc >> 16 & 0xFF] ^ tables_[3][crc >> 24 & 0xFF];
  }

 private:
  std::array<Table, 4> tables_{};
};

uint64_t LoadWord(const unsigned char* data) {
  uint64_t word;
  std::memcpy(&word, data, sizeof(word));
  return word;
}

__attribute__((target("sse4.2"))) uint32_t ExtendByInstruction(
    uint32_t crc, const unsigned char* data, size_t size_bytes) {
  constexpr size_t kWord = sizeof(uint64_t);
  static const ZeroLane zero_lane;
  uint64_t wide = crc;
  for (; size_bytes >= 3 * kLaneBytes; size_bytes -= 3 * kLaneBytes) {
    uint64_t second = 0, third = 0;
    for (const auto* end = data + kLaneBytes; data != end; data += kWord) {
      wide = _mm_crc32_u64(wide, LoadWord(data));
      second = _mm_crc32_u64(second, LoadWord(data + kLaneBytes));
      third = _mm_crc32_u64(third, LoadWord(data + 2 * kLaneBytes));
    }
    wide = zero_lane.Apply(zero_lane.Apply(wide) ^ second) ^ third;
    data += 2 * kLaneBytes;
  }
  for (; size_bytes >= kWord; size_bytes -= kWord, data += kWord) {
    wide = _mm_crc32_u64(wide, LoadWord(data));
  }
  crc = static_cast<uint32_t>(wide);
  for (; size_bytes > 0; ++data, --size_bytes) crc = _mm_crc32_u8(crc, *data);
  return crc;
}
#endif

using Extend = uint32_t (*)(uint32_t, const unsigned char*, size_t);

Extend ChooseExtend() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return ExtendByInstruction;
#endif
  return ExtendByTable;
}

}  // namespace

uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size_bytes) {
  static const Extend extend = ChooseExtend();
  return ~extend(~crc, static_cast<const unsigned char*>(data), size_bytes);
}

uint32_t internal::ExtendCrc32cByTable(uint32_t crc, const void* data,
                                       size_t size_bytes) {
  return ~ExtendByTable(~crc, static_cast<const unsigned char*>(data),
                        size_bytes);
}

}  // namespace tfd
