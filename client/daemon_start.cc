#include "client/daemon_start.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/file_system.h"
#include "common/status.h"

namespace tfd::client {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(10);
// A coordinator is there within milliseconds.
constexpr absl::Duration kStartLookInterval = absl::Milliseconds(2);
constexpr size_t kLastLines = 5;

}  // namespace

absl::StatusOr<std::string> AwaitAddressFile(const std::string& path,
                                             ChildProcess& process) {
  absl::Time deadline = absl::Now() + kStartTimeout;
  while (true) {
    absl::StatusOr<std::string> text = ReadFile(*LocalFileSystem(), path);
    if (text.ok()) {
      std::vector<std::string> lines =
          absl::StrSplit(*text, '\n', absl::SkipWhitespace());
      if (!lines.empty()) return lines.front();
    }
    absl::StatusOr<ChildExit> exit = process.Wait(kStartLookInterval);
    if (exit.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat("tfd-coordinator did not start: ", exit->ToString()));
    }
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("tfd-coordinator was not ready within ",
                       absl::FormatDuration(kStartTimeout)));
    }
  }
}

absl::Status WithLastLines(const absl::Status& status,
                           const std::string& log_path) {
  absl::StatusOr<std::string> text = ReadFile(*LocalFileSystem(), log_path);
  if (!text.ok()) return status;
  std::vector<std::string> lines =
      absl::StrSplit(*text, '\n', absl::SkipWhitespace());
  size_t first = lines.size() - std::min(lines.size(), kLastLines);
  lines.erase(lines.begin(), lines.begin() + static_cast<ptrdiff_t>(first));
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), "; the end of ", log_path,
                                   ":\n  ", absl::StrJoin(lines, "\n  ")));
}

std::string OfferText(double cpus, uint64_t memory_bytes) {
  return absl::StrCat("cpus=", cpus, ",memory=", memory_bytes);
}

}  // namespace tfd::client
