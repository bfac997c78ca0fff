#include "daemon/coordinator/policy/recovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/coordinator/testing/values.h"

namespace tfd::coordinator {
namespace {

using testing::At;
using testing::Facts;
using ::testing::HasSubstr;
using testing::JobBuilder;

JobFacts Surviving(int failures) {
  JobFacts facts = Facts(1, 2, 1);
  facts.max_failures = failures;
  facts.replaceable_workers = true;
  return facts;
}

ExitCause Killed() {
  ExitCause exit;
  exit.kind = ExitCause::Kind::kSignaled;
  exit.signal = 9;
  return exit;
}

ExitCause Code(int code) {
  ExitCause exit;
  exit.code = code;
  return exit;
}

ExitCause NodeGone() {
  ExitCause exit;
  exit.kind = ExitCause::Kind::kNodeLost;
  return exit;
}

TEST(Recovery, WhoHoldsNothingIsReplacedAndOthersTakeTheGangAlong) {
  JobBuilder builder(Surviving(3));
  builder.Run();
  const Job& job = builder.job();
  EXPECT_EQ(DecideRecovery(job, {"worker/1"}, Killed()).remedy,
            Remedy::kReplace);
  EXPECT_EQ(DecideRecovery(job, {"evaluator/0"}, Killed()).remedy,
            Remedy::kReplace);
  EXPECT_EQ(DecideRecovery(job, {"ps/0"}, Killed()).remedy, Remedy::kRestart);
  EXPECT_EQ(DecideRecovery(job, {"worker/0", "ps/0"}, NodeGone()).remedy,
            Remedy::kRestart);
}

TEST(Recovery, AWorkerThatHoldsParametersIsNotReplaced) {
  JobFacts facts = Surviving(3);
  facts.replaceable_workers = false;
  JobBuilder builder(facts);
  builder.Run();
  EXPECT_EQ(DecideRecovery(builder.job(), {"worker/1"}, Killed()).remedy,
            Remedy::kRestart);
}

TEST(Recovery, WithNoFailuresAllowedNothingIsStartedAgain) {
  JobBuilder builder(Surviving(0));
  builder.Run();
  for (const ExitCause& exit : {Killed(), NodeGone()}) {
    const RecoveryPlan recovery = DecideRecovery(builder.job(), {"ps/0"}, exit);
    EXPECT_EQ(recovery.remedy, Remedy::kFail);
    EXPECT_EQ(recovery.note, "");
  }
}

TEST(Recovery, WhoKnowsWhatIsWrongWouldFindItAgain) {
  JobBuilder builder(Surviving(3));
  builder.Run();
  EXPECT_EQ(DecideRecovery(builder.job(), {"worker/0"}, Code(1)).remedy,
            Remedy::kFail);
  EXPECT_EQ(DecideRecovery(builder.job(), {"worker/0"}, Code(75)).remedy,
            Remedy::kReplace);
}

TEST(Recovery, FailuresAreUsedUpAndLostNodesAreNot) {
  JobBuilder builder(Surviving(2));
  builder.Run();
  builder.job().failures = 2;
  const RecoveryPlan own =
      DecideRecovery(builder.job(), {"worker/0"}, Killed());
  EXPECT_EQ(own.remedy, Remedy::kFail);
  EXPECT_THAT(own.note, HasSubstr("restart.max_failures: 2 are used up"));
  const RecoveryPlan node =
      DecideRecovery(builder.job(), {"worker/0"}, NodeGone());
  EXPECT_EQ(node.remedy, Remedy::kReplace);
  EXPECT_FALSE(node.counted);
}

TEST(Recovery, TheDelayDoublesUpToAMinuteGiveOrTakeAQuarter) {
  JobBuilder builder(Surviving(100));
  builder.Run();
  const auto delay = [&builder](int restarts) {
    builder.job().restarts = restarts;
    return DecideRecovery(builder.job(), {"worker/0"}, Killed()).delay;
  };
  EXPECT_EQ(delay(0), absl::ZeroDuration());
  double expected = 1;
  for (int restarts = 1; restarts < 20; ++restarts) {
    const double seconds = absl::ToDoubleSeconds(delay(restarts));
    EXPECT_GE(seconds, 0.75 * expected);
    EXPECT_LE(seconds, 1.25 * expected);
    expected = std::min(60.0, 2 * expected);
  }
  EXPECT_NE(delay(18), delay(19));
}

TEST(Recovery, RowsThatWereOnALostNodeAreTheEnd) {
  JobFacts facts = Surviving(3);
  facts.pushed = {{"train", 1}};
  JobBuilder builder(facts);
  builder.Run().Do(ProducerBegun{"j", "train", "p"});
  builder.Do(TaskGivenUp{"j", "feed/0", true, "its node is gone"});
  EXPECT_EQ(DecideRecovery(builder.job(), {"feed/0"}, NodeGone()).remedy,
            Remedy::kRestart);
  builder.Do(
      PartitionSealed{"j", "train", "p", "0", {"a", 60, 5, "feed/0", "/x"}});
  const RecoveryPlan lost =
      DecideRecovery(builder.job(), {"feed/0"}, NodeGone());
  EXPECT_EQ(lost.remedy, Remedy::kFail);
  EXPECT_THAT(lost.note, HasSubstr("60 rows that were pushed to feed/0"));
}

}  // namespace
}  // namespace tfd::coordinator
