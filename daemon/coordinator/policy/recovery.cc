#include "daemon/coordinator/policy/recovery.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/crc32c.h"
#include "common/task/exit_code.h"
#include "common/units.h"

namespace tfd::coordinator {
namespace {

constexpr absl::Duration kFirstDelay = absl::Seconds(1);
constexpr absl::Duration kLongestDelay = absl::Minutes(1);
// Doubling more often than that changes nothing.
constexpr int kMaxDoublings = 10;
// Of a delay, to either side.
constexpr double kJitter = 0.25;

bool IsNodes(const std::optional<ExitCause>& exit) {
  return exit.has_value() && exit->kind == ExitCause::Kind::kNodeLost;
}

bool IsPermanent(const std::optional<ExitCause>& exit) {
  return exit.has_value() && exit->kind == ExitCause::Kind::kExited &&
         exit->code == kPermanentExit;
}

// The same for the same failure, so that a decision can be looked at.
double JitterOf(const Job& job) {
  const std::string seed = absl::StrCat(job.id, "/", job.restarts);
  const double share =
      static_cast<double>(ExtendCrc32c(0, seed.data(), seed.size())) /
      4294967296.0;
  return 1 + kJitter * (2 * share - 1);
}

bool AreFeeds(const Job& job, const std::vector<std::string>& names) {
  return std::all_of(names.begin(), names.end(),
                     [&job](const std::string& name) {
                       const Task* task = FindTask(job, name);
                       return task != nullptr && task->role == Role::kFeed;
                     });
}

absl::Duration DelayOf(const Job& job, const std::vector<std::string>& lost) {
  if (job.restarts == 0 || AreFeeds(job, lost)) return absl::ZeroDuration();
  const int doublings = std::min(job.restarts - 1, kMaxDoublings);
  return JitterOf(job) *
         std::min(kLongestDelay, kFirstDelay * (int64_t{1} << doublings));
}

bool IsReplaceable(const Job& job, const std::string& name) {
  const Task* task = FindTask(job, name);
  if (task == nullptr) return false;
  switch (task->role) {
    case Role::kPs:
      return false;
    case Role::kWorker:
      return job.facts.replaceable_workers;
    case Role::kEvaluator:
    case Role::kFeed:
      return true;
  }
  return false;
}

// Rows that went with a node, in words.
std::string DescribeLostRows(const Job& job,
                             const std::vector<std::string>& lost) {
  for (const std::string& name : lost) {
    const Task* task = FindTask(job, name);
    if (task == nullptr || task->role != Role::kFeed) continue;
    if (const int64_t rows = RowsAt(job, name); rows > 0) {
      return absl::StrCat("; ", rows, " rows that were pushed to ", name,
                          " went with it: push them again, to a new job");
    }
  }
  return "";
}

}  // namespace

RecoveryPlan DecideRecovery(const Job& job,
                            const std::vector<std::string>& lost,
                            const std::optional<ExitCause>& exit) {
  RecoveryPlan recovery;
  const int max_failures = job.facts.max_failures;
  if (max_failures == 0 || IsPermanent(exit)) return recovery;
  recovery.counted = !IsNodes(exit);
  if (recovery.counted && job.failures >= max_failures) {
    recovery.note =
        absl::StrCat("; restart.max_failures: ", max_failures,
                     max_failures == 1 ? " is" : " are", " used up");
    return recovery;
  }
  if (!recovery.counted) {
    recovery.note = DescribeLostRows(job, lost);
    if (!recovery.note.empty()) return recovery;
  }
  const bool replaceable =
      std::all_of(lost.begin(), lost.end(), [&job](const std::string& name) {
        // A feed keeps to its node.
        const Task* task = FindTask(job, name);
        const bool stays = task != nullptr && task->role == Role::kFeed &&
                           task->state == TaskState::kLost;
        return IsReplaceable(job, name) && !stays;
      });
  recovery.remedy = replaceable ? Remedy::kReplace : Remedy::kRestart;
  recovery.delay = DelayOf(job, lost);
  recovery.note = replaceable ? "; another process takes its place"
                  : job.checkpoints.empty()
                      ? "; the job starts again"
                      : absl::StrCat("; the job goes on from checkpoint ",
                                     job.checkpoints.back().ref.step);
  if (recovery.delay > absl::ZeroDuration()) {
    absl::StrAppend(&recovery.note, " in ",
                    tfd::FormatDuration(recovery.delay));
  }
  if (recovery.counted) {
    absl::StrAppend(&recovery.note, " (failure ", job.failures + 1,
                    ", restart.max_failures: ", max_failures, ")");
  }
  return recovery;
}

}  // namespace tfd::coordinator
