// Bytes, durations and counts as people write and read them.
#ifndef TFD_COMMON_UNITS_H_
#define TFD_COMMON_UNITS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tfd {

// "512", "512B", "64KiB", "1.5GiB", "2GB" (KB = 1000, KiB = 1024).
absl::StatusOr<uint64_t> ParseBytes(absl::string_view text);
// "250ms", "10s", "5m", "1h", "1h30m"; a bare number is milliseconds.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);

// "1.5 GiB", "640 B".
std::string FormatBytes(uint64_t bytes);
// "0.8 s", "12.3 s", "2 min 5 s", "1 h 2 min". (absl::FormatDuration is found
// as well: calls have to be qualified, tfd::FormatDuration.)
std::string FormatDuration(absl::Duration duration);
// "60,000".
std::string FormatCount(int64_t count);

}  // namespace tfd

#endif  // TFD_COMMON_UNITS_H_
