#include "common/units.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace tfd {
namespace {

constexpr std::pair<absl::string_view, uint64_t> kByteUnits[] = {
    {"", 1},
    {"B", 1},
    {"KB", 1000},
    {"MB", 1000 * 1000},
    {"GB", 1000 * 1000 * 1000},
    {"TB", uint64_t{1000} * 1000 * 1000 * 1000},
    {"KiB", uint64_t{1} << 10},
    {"MiB", uint64_t{1} << 20},
    {"GiB", uint64_t{1} << 30},
    {"TiB", uint64_t{1} << 40}};

absl::Status BytesError(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text, "\" ", why,
      "; write a number and a unit, e.g. 512MiB, 1.5GiB or 2GB (units B, KB, "
      "MB, GB, TB of 1000, KiB, MiB, GiB, TiB of 1024)"));
}

}  // namespace

absl::StatusOr<uint64_t> ParseBytes(absl::string_view text) {
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  const size_t digits =
      std::min(trimmed.find_first_not_of("0123456789."), trimmed.size());
  const absl::string_view number = trimmed.substr(0, digits);
  const absl::string_view unit =
      absl::StripAsciiWhitespace(trimmed.substr(digits));
  if (number.empty()) return BytesError(text, "is no number of bytes");
  const auto* found = std::find_if(
      std::begin(kByteUnits), std::end(kByteUnits), [unit](const auto& known) {
        return absl::EqualsIgnoreCase(known.first, unit);
      });
  if (found == std::end(kByteUnits)) {
    return BytesError(text,
                      absl::StrCat("has the unknown unit \"", unit, "\""));
  }
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  uint64_t whole = 0;
  // Whole numbers stay exact beyond what a double holds.
  if (absl::SimpleAtoi(number, &whole)) {
    if (whole > kMax / found->second) return BytesError(text, "is too large");
    return whole * found->second;
  }
  double value = 0;
  if (!absl::SimpleAtod(number, &value)) {
    return BytesError(text, "is no number of bytes");
  }
  value *= static_cast<double>(found->second);
  if (value >= static_cast<double>(kMax)) {
    return BytesError(text, "is too large");
  }
  return static_cast<uint64_t>(std::llround(value));
}

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  int64_t milliseconds = 0;
  absl::Duration duration;
  if (absl::SimpleAtoi(trimmed, &milliseconds)) {
    duration = absl::Milliseconds(milliseconds);
  } else if (!absl::ParseDuration(trimmed, &duration) ||
             duration == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text,
        "\" is no duration; write a number and a unit, e.g. 250ms, 10s, 5m, "
        "1h or 1h30m (a number alone is milliseconds)"));
  }
  if (duration < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is negative; a duration is 0 or more"));
  }
  return duration;
}

std::string FormatBytes(uint64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  constexpr absl::string_view kUnits[] = {"KiB", "MiB", "GiB",
                                          "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  // 1023.95 would be shown as 1024.0.
  while (value >= 1023.95 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string FormatDuration(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return "forever";
  if (duration < absl::ZeroDuration()) {
    return absl::StrCat("-", tfd::FormatDuration(-duration));
  }
  if (duration > absl::ZeroDuration() && duration < absl::Milliseconds(95)) {
    return absl::StrFormat("%.3g ms", absl::ToDoubleMilliseconds(duration));
  }
  if (duration < absl::Milliseconds(59950)) {
    return absl::StrFormat("%.1f s", absl::ToDoubleSeconds(duration));
  }
  const int64_t seconds =
      absl::ToInt64Seconds(duration + absl::Milliseconds(500));
  if (seconds < 3600) {
    return absl::StrFormat("%d min %d s", seconds / 60, seconds % 60);
  }
  const int64_t minutes = (seconds + 30) / 60;
  return absl::StrFormat("%d h %d min", minutes / 60, minutes % 60);
}

std::string FormatCount(int64_t count) {
  std::string digits = absl::StrCat(count);
  const size_t first = count < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

}  // namespace tfd
