// CRC-32C (Castagnoli, RFC 3720 appendix B.4): SSE 4.2's instruction where the
// processor has it, else a table.
#ifndef TFD_COMMON_CRC32C_H_
#define TFD_COMMON_CRC32C_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace tfd {

// The checksum of what `crc` is the checksum of, followed by `data`.
uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size_bytes);

namespace internal {
// The way without the instruction, for a processor that lacks it and for tests.
uint32_t ExtendCrc32cByTable(uint32_t crc, const void* data, size_t size_bytes);
}  // namespace internal

inline uint32_t Crc32c(absl::string_view data) {
  return ExtendCrc32c(0, data.data(), data.size());
}

}  // namespace tfd

#endif  // TFD_COMMON_CRC32C_H_
