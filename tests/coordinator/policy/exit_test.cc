#include "daemon/coordinator/policy/exit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/coordinator/testing/values.h"

namespace tfd::coordinator {
namespace {

using testing::Facts;
using ::testing::HasSubstr;
using testing::JobBuilder;

ExitCause Code(int code) {
  ExitCause exit;
  exit.code = code;
  return exit;
}

ExitVerdict Judge(JobBuilder& builder, const std::string& task,
                  const ExitCause& exit) {
  return JudgeExit(builder.job(), builder.task(task), exit);
}

TEST(Exit, AWorkerThatIsDoneEndsWell) {
  JobBuilder builder;
  builder.Run();
  EXPECT_FALSE(Judge(builder, "worker/1", Code(0)).failed);
  EXPECT_FALSE(Judge(builder, "worker/0", Code(0)).failed);
}

TEST(Exit, ANonZeroCodeAndASignalAreFailures) {
  JobBuilder builder;
  builder.Run();
  EXPECT_TRUE(Judge(builder, "worker/1", Code(1)).failed);
  ExitCause killed;
  killed.kind = ExitCause::Kind::kSignaled;
  killed.signal = 9;
  EXPECT_TRUE(Judge(builder, "worker/1", killed).failed);
  EXPECT_EQ(Judge(builder, "worker/1", killed).reason, "killed by SIGKILL");
}

TEST(Exit, TheFinisherAndServersMustNotLeave) {
  JobBuilder with_evaluator;
  with_evaluator.Run();
  EXPECT_TRUE(Judge(with_evaluator, "ps/0", Code(0)).failed);
  EXPECT_TRUE(Judge(with_evaluator, "evaluator/0", Code(0)).failed);
  JobBuilder without(Facts(1, 2, 0));
  without.Run();
  EXPECT_TRUE(Judge(without, "worker/0", Code(0)).failed);
  EXPECT_FALSE(Judge(without, "worker/1", Code(0)).failed);
  EXPECT_THAT(Judge(without, "worker/0", Code(0)).reason,
              HasSubstr("though its job goes on"));
}

TEST(Exit, NobodyLeavesBeforeAllAreThere) {
  JobBuilder builder;
  builder.Place();
  EXPECT_TRUE(Judge(builder, "worker/1", Code(0)).failed);
}

TEST(Exit, AfterTheJobsEndNoExitIsAFailure) {
  JobBuilder builder;
  builder.Run().Do(JobCancelled{"j", "cancelled", {}});
  EXPECT_FALSE(Judge(builder, "ps/0", Code(143)).failed);
}

}  // namespace
}  // namespace tfd::coordinator
