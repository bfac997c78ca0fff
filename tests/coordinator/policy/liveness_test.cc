#include "daemon/coordinator/policy/liveness.h"

#include <gtest/gtest.h>

#include "tests/coordinator/testing/values.h"

namespace tfd::coordinator {
namespace {

using testing::At;

const LeaseTerms kTerms{absl::Seconds(1), absl::Seconds(10)};

Liveness Judge(int seen, int now, int judge_from = 0) {
  return JudgeLease(At(seen), At(now), At(judge_from), kTerms).liveness;
}

TEST(Liveness, ALostHeartbeatIsNoNews) {
  EXPECT_EQ(Judge(100, 102), Liveness::kThere);
}

TEST(Liveness, ThreeMissingOnesMakeItSilent) {
  EXPECT_EQ(Judge(100, 103), Liveness::kSilent);
  EXPECT_EQ(Judge(100, 109), Liveness::kSilent);
}

TEST(Liveness, AfterTheLeaseItIsGone) {
  EXPECT_EQ(Judge(100, 110), Liveness::kGone);
  EXPECT_EQ(JudgeLease(At(100), At(110), At(0), kTerms).reason,
            "has been silent for 10.0 s");
}

TEST(Liveness, NobodyIsJudgedTooEarly) {
  EXPECT_EQ(Judge(100, 115, /*judge_from=*/116), Liveness::kSilent);
  EXPECT_EQ(Judge(100, 116, /*judge_from=*/116), Liveness::kGone);
}

TEST(Liveness, OneThatNeverCameBackIsGoneOnceJudgingBegins) {
  const LivenessVerdict early =
      JudgeLease(absl::InfinitePast(), At(5), At(10), kTerms);
  EXPECT_EQ(early.liveness, Liveness::kSilent);
  const LivenessVerdict late =
      JudgeLease(absl::InfinitePast(), At(10), At(10), kTerms);
  EXPECT_EQ(late.liveness, Liveness::kGone);
  EXPECT_EQ(late.reason, "has not come back since the coordinator started");
}

TEST(Liveness, ACoordinatorThatWasAwayItselfWaitsALease) {
  EXPECT_EQ(JudgeFrom(At(10), At(100), At(101), kTerms), At(10));
  // Suspended for a minute: everybody looks silent.
  EXPECT_EQ(JudgeFrom(At(10), At(100), At(160), kTerms), At(170));
}

}  // namespace
}  // namespace tfd::coordinator
