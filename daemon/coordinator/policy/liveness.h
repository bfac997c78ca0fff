// Who is taken for there, for silent, for gone. A pure function of when
// somebody was last heard of.
//
// A lease that has not been renewed in time ends. But a coordinator that was
// away itself (restarted, suspended, starved of cpu) has not heard what was
// said meanwhile: it waits one whole lease before it judges anyone.
#ifndef TFD_DAEMON_COORDINATOR_POLICY_LIVENESS_H_
#define TFD_DAEMON_COORDINATOR_POLICY_LIVENESS_H_

#include <string>

#include "absl/time/time.h"

namespace tfd::coordinator {

struct LeaseTerms {
  absl::Duration heartbeat = absl::Seconds(1);
  absl::Duration lease = absl::Seconds(10);
};

enum class Liveness { kThere, kSilent, kGone };

struct LivenessVerdict {
  Liveness liveness = Liveness::kThere;
  // "has been silent for 4.0 s"; empty for kThere.
  std::string reason;
};

// `last_seen` is absl::InfinitePast() for somebody who has not been heard of
// since the coordinator started. Nobody is gone before `judge_from`.
LivenessVerdict JudgeLease(absl::Time last_seen, absl::Time now,
                           absl::Time judge_from, const LeaseTerms& terms);

// When judging may go on, given that the coordinator's own last look was at
// `last_look`: later where it was away itself.
absl::Time JudgeFrom(absl::Time judge_from, absl::Time last_look,
                     absl::Time now, const LeaseTerms& terms);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_POLICY_LIVENESS_H_
