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

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    }
    table[byte] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = MakeTable();

}  // namespace

namespace internal {

uint32_t ExtendCrc32cByTable(uint32_t crc, const unsigned char* data,
                             size_t size_bytes) {
  for (; size_bytes > 0; ++data, --size_bytes) {
    crc = kTable[(crc ^ *data) & 0xFF] ^ (crc >> 8);
  }
  return crc;
}

}  // namespace internal

namespace {

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t ExtendByInstruction(
    uint32_t crc, const unsigned char* data, size_t size_bytes) {
  uint64_t wide = crc;
  for (; size_bytes >= sizeof(uint64_t); size_bytes -= sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, data, sizeof(word));
    wide = _mm_crc32_u64(wide, word);
    data += sizeof(word);
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
  return internal::ExtendCrc32cByTable;
}

}  // namespace

uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size_bytes) {
  static const Extend extend = ChooseExtend();
  return ~extend(~crc, static_cast<const unsigned char*>(data), size_bytes);
}

}  // namespace tfd
