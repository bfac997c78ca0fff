#include "common/nearest_name.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace tfd {
namespace {

// Names are compared as a whole: longer ones are no names that anybody types.
constexpr size_t kMaxNameBytes = 256;

}  // namespace

int EditDistance(absl::string_view a, absl::string_view b) {
  // Three rows of the usual table: the one before the last is for swaps.
  std::vector<int> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replace = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

std::string NearestName(absl::string_view name,
                        const std::vector<std::string>& known) {
  if (name.size() > kMaxNameBytes) return "";
  const std::string lower = absl::AsciiStrToLower(name);
  const std::string* nearest = nullptr;
  int nearest_distance = 0;
  for (const std::string& candidate : known) {
    if (candidate.size() > kMaxNameBytes) continue;
    const int distance = EditDistance(lower, absl::AsciiStrToLower(candidate));
    const int limit = std::max(
        1, static_cast<int>(std::max(name.size(), candidate.size()) / 3));
    if (distance > limit) continue;
    if (nearest == nullptr || distance < nearest_distance) {
      nearest = &candidate;
      nearest_distance = distance;
    }
  }
  return nearest == nullptr ? "" : *nearest;
}

}  // namespace tfd
