#include "daemon/coordinator/policy/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <variant>

#include "tests/coordinator/testing/values.h"

namespace tfd::coordinator {
namespace {

using testing::Facts;
using ::testing::HasSubstr;
using testing::JobBuilder;

// The next decision as one word and a step.
std::string Next(JobBuilder& builder) {
  const std::optional<EventBody> next = NextStep(builder.job(), {});
  if (!next.has_value()) return "nothing";
  if (const auto* e = std::get_if<EvaluationStarted>(&*next)) {
    return "score " + std::to_string(e->step);
  }
  if (const auto* e = std::get_if<ExportStarted>(&*next)) {
    return "export " + std::to_string(e->step);
  }
  if (const auto* e = std::get_if<CheckpointsRetired>(&*next)) {
    std::string text = "retire";
    for (const int64_t step : e->steps) text += " " + std::to_string(step);
    return text;
  }
  return std::holds_alternative<JobSucceeded>(*next) ? "succeed" : "?";
}

JobBuilder Running(JobFacts facts) {
  JobBuilder builder(std::move(facts));
  builder.Run().Do(PlanAnnounced{"j", {1000, 100, 6400, 64}});
  return builder;
}

TEST(Progress, NothingBeforeTheFirstCheckpoint) {
  JobBuilder builder = Running(Facts(1, 2, 1));
  EXPECT_EQ(Next(builder), "nothing");
}

TEST(Progress, AFreeEvaluatorScoresTheNewest) {
  JobBuilder builder = Running(Facts(1, 2, 1));
  builder.Commit(100).Commit(200);
  EXPECT_EQ(Next(builder), "score 200");
  builder.Do(EvaluationStarted{"j", 200}).Commit(300);
  EXPECT_EQ(Next(builder), "retire 100");
  builder.Do(CheckpointsRetired{"j", {100}});
  EXPECT_EQ(Next(builder), "nothing");
  builder.Do(CheckpointEvaluated{"j", 200, {{"accuracy", 0.5}}});
  EXPECT_EQ(Next(builder), "score 300");
}

TEST(Progress, WithoutAnEvaluatorOnlyTheLastIsScored) {
  JobBuilder builder = Running(Facts(1, 2, 0));
  builder.Commit(500);
  EXPECT_EQ(Next(builder), "nothing");
  builder.Commit(1000);
  EXPECT_EQ(Next(builder), "score 1000");
}

TEST(Progress, WithoutValidationDataNothingIsScored) {
  JobFacts facts = Facts(1, 2, 1);
  facts.has_validation = false;
  JobBuilder builder = Running(facts);
  builder.Commit(500);
  EXPECT_EQ(Next(builder), "nothing");
  builder.Commit(1000);
  EXPECT_EQ(Next(builder), "export 1000");
}

TEST(Progress, TheLastOneIsExportedOnceScored) {
  JobBuilder builder = Running(Facts(1, 2, 1));
  builder.Commit(1000);
  EXPECT_EQ(Next(builder), "score 1000");
  builder.Do(EvaluationStarted{"j", 1000});
  EXPECT_EQ(Next(builder), "nothing");
  builder.Do(CheckpointEvaluated{"j", 1000, {{"accuracy", 0.5}}});
  EXPECT_EQ(Next(builder), "export 1000");
  builder.Do(ExportStarted{"j", 1000, ""});
  EXPECT_EQ(Next(builder), "nothing");
  builder.Do(ExportWritten{"j", 1000, "/export"});
  EXPECT_EQ(Next(builder), "succeed");
}

JobFacts WithTarget() {
  JobFacts facts = Facts(1, 2, 1);
  facts.target = Target{"accuracy", 0.9, {}};
  return facts;
}

TEST(Progress, ATargetMetIsExportedAtOnce) {
  JobBuilder builder = Running(WithTarget());
  builder.Commit(100)
      .Do(EvaluationStarted{"j", 100})
      .Commit(200)
      .Do(CheckpointEvaluated{"j", 100, {{"accuracy", 0.91}}});
  EXPECT_EQ(Next(builder), "export 100");
  builder.Do(ExportStarted{"j", 100, ""}).Commit(300);
  // It is pinned however old it is; the evaluator, which exports, is busy.
  EXPECT_EQ(Next(builder), "nothing");
  builder.Commit(400);
  EXPECT_EQ(Next(builder), "retire 200");
}

TEST(Progress, ATargetMissedDoesNotKeepAJobFromSucceeding) {
  JobBuilder builder = Running(WithTarget());
  builder.Commit(1000)
      .Do(EvaluationStarted{"j", 1000})
      .Do(CheckpointEvaluated{"j", 1000, {{"accuracy", 0.5}}});
  EXPECT_EQ(Next(builder), "export 1000");
  builder.Do(ExportStarted{"j", 1000, ""})
      .Do(ExportWritten{"j", 1000, "/export"});
  const std::optional<EventBody> next = NextStep(builder.job(), {});
  EXPECT_THAT(std::get<JobSucceeded>(*next).reason, HasSubstr("was not met"));
}

TEST(Progress, TheNewestAreKept) {
  JobFacts facts = Facts(1, 1, 0);
  facts.keep = 2;
  JobBuilder builder = Running(facts);
  builder.Commit(100).Commit(200).Commit(300).Commit(400);
  EXPECT_EQ(Next(builder), "retire 100 200");
}

TEST(Progress, AResumedJobThatIsDoneIsScoredAndExported) {
  JobBuilder builder{Facts(1, 1, 0)};
  builder.Place();
  builder.Do(TaskAttached{"j", "ps/0", 5, 1, {}, CheckpointRef{1000, "/c", 1}})
      .Do(TaskAttached{"j", "worker/0", 6, 2, {}, {}})
      .Do(GangStarted{"j", CheckpointRef{1000, "/c", 1}});
  EXPECT_EQ(Next(builder), "nothing");
  builder.Do(PlanAnnounced{"j", {1000, 100, 6400, 64}});
  EXPECT_EQ(Next(builder), "score 1000");
}

TEST(Target, BothBoundsCountAndNanMeetsNothing) {
  const Target at_least{"accuracy", 0.9, {}};
  EXPECT_TRUE(MeetsTarget(at_least, {{"accuracy", 0.9}}));
  EXPECT_FALSE(MeetsTarget(at_least, {{"accuracy", 0.89}}));
  EXPECT_FALSE(MeetsTarget(at_least, {{"loss", 0.95}}));
  EXPECT_FALSE(MeetsTarget(at_least, {{"accuracy", std::nan("")}}));
  const Target at_most{"loss", {}, 0.1};
  EXPECT_TRUE(MeetsTarget(at_most, {{"loss", 0.1}}));
  EXPECT_FALSE(MeetsTarget(at_most, {{"loss", std::nan("")}}));
  EXPECT_EQ(DescribeTarget(at_most), "loss at most 0.1");
}

}  // namespace
}  // namespace tfd::coordinator
