#include "daemon/coordinator/policy/liveness.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/units.h"

namespace tfd::coordinator {
namespace {

// One lost heartbeat is no news, three are.
constexpr int kHeartbeatsUntilSilent = 3;
// A look this much later than it should have been (as a share of the lease)
// means that we were away.
constexpr int kAwayShare = 2;

}  // namespace

LivenessVerdict JudgeLease(absl::Time last_seen, absl::Time now,
                           absl::Time judge_from, const LeaseTerms& terms) {
  const bool never = last_seen == absl::InfinitePast();
  const absl::Duration silent = now - last_seen;
  if (!never && silent < kHeartbeatsUntilSilent * terms.heartbeat) return {};
  LivenessVerdict verdict;
  verdict.liveness = now >= judge_from && silent >= terms.lease
                         ? Liveness::kGone
                         : Liveness::kSilent;
  verdict.reason =
      never ? "has not come back since the coordinator started"
            : absl::StrCat("has been silent for ", tfd::FormatDuration(silent));
  return verdict;
}

absl::Time JudgeFrom(absl::Time judge_from, absl::Time last_look,
                     absl::Time now, const LeaseTerms& terms) {
  if (now - last_look < terms.lease / kAwayShare) return judge_from;
  return std::max(judge_from, now + terms.lease);
}

}  // namespace tfd::coordinator
