#include "daemon/coordinator/core/apply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <variant>

#include "daemon/coordinator/core/describe.h"
#include "daemon/coordinator/core/invariants.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "tests/coordinator/testing/values.h"

namespace tfd::coordinator {
namespace {

using testing::Facts;
using ::testing::HasSubstr;
using testing::JobBuilder;
using testing::PlacedOn;
using testing::Registered;
using testing::Submitted;

template <typename E>
int Count(const std::vector<Effect>& effects) {
  int count = 0;
  for (const Effect& effect : effects) {
    count += std::holds_alternative<E>(effect) ? 1 : 0;
  }
  return count;
}

std::vector<Effect> ApplyTo(JobBuilder& builder, EventBody body) {
  return Apply(builder.state(), Event{testing::At(1000), std::move(body)});
}

void ExpectSound(JobBuilder& builder) {
  const absl::Status status = CheckInvariants(builder.state());
  EXPECT_TRUE(status.ok()) << status;
}

TEST(ApplyJobs, SubmittedJobHasItsTasksPending) {
  JobBuilder builder;
  builder.Do(Submitted("j", Facts(1, 2, 1)));
  EXPECT_EQ(builder.job().state, JobState::kSubmitted);
  ASSERT_EQ(builder.job().tasks.size(), 4u);
  EXPECT_EQ(TaskName(builder.job().tasks[0]), "ps/0");
  EXPECT_EQ(TaskName(builder.job().tasks[3]), "evaluator/0");
  EXPECT_EQ(builder.task("worker/1").state, TaskState::kPending);
  EXPECT_EQ(builder.job().submitted_index, 2u);
  ExpectSound(builder);
}

TEST(ApplyJobs, SubmittingAnIdTwiceIsAViolation) {
  JobBuilder builder;
  builder.Queue();
  ApplyTo(builder, Submitted("j", Facts(1, 1, 0)));
  EXPECT_THAT(builder.state().violation, HasSubstr("already"));
}

TEST(ApplyJobs, PlacingTellsEachNodeOnce) {
  JobBuilder builder;
  builder.Queue().Do(Registered("node-b"));
  GangPlaced placed = PlacedOn("j", Facts(1, 2, 1), "node-a");
  placed.placements[2].node = "node-b";
  const std::vector<Effect> effects = ApplyTo(builder, placed);
  EXPECT_EQ(Count<SendDesired>(effects), 2);
  EXPECT_EQ(builder.job().state, JobState::kStarting);
  EXPECT_EQ(builder.job().generation, 1u);
  EXPECT_EQ(builder.task("worker/1").node, "node-b");
  EXPECT_TRUE(builder.task("worker/1").process_alive);
  ExpectSound(builder);
}

TEST(ApplyJobs, PlacingMoreThanANodeOffersIsAViolation) {
  JobBuilder builder;
  builder.Queue().Do(Registered("node-a", /*cpus=*/3));
  EXPECT_THAT(ApplyTo(builder, PlacedOn("j", Facts(1, 2, 1), "node-a")),
              ::testing::IsEmpty());
  EXPECT_THAT(builder.state().violation, HasSubstr("node-a has less"));
  EXPECT_EQ(builder.job().state, JobState::kQueued);
}

TEST(ApplyJobs, StartingAGangTellsTheMembership) {
  JobBuilder builder;
  builder.Place();
  for (const char* task : {"ps/0", "worker/0", "worker/1", "evaluator/0"}) {
    builder.Do(TaskAttached{"j", task, 5, 50, {}, {}});
  }
  const std::vector<Effect> effects =
      ApplyTo(builder, GangStarted{"j", CheckpointRef{100, "/c", 3}});
  EXPECT_EQ(Count<SendMembership>(effects), 1);
  EXPECT_EQ(builder.job().state, JobState::kRunning);
  // What it goes on from counts as a checkpoint.
  ASSERT_EQ(builder.job().checkpoints.size(), 1u);
  EXPECT_EQ(builder.job().checkpoints[0].ref.step, 100);
  ExpectSound(builder);
}

TEST(ApplyJobs, AGangWithAMissingTaskDoesNotStart) {
  JobBuilder builder;
  builder.Place().Do(TaskAttached{"j", "ps/0", 5, 50, {}, {}});
  ApplyTo(builder, GangStarted{"j", {}});
  EXPECT_EQ(builder.job().state, JobState::kStarting);
  EXPECT_THAT(builder.state().violation, HasSubstr("worker/0"));
}

TEST(ApplyJobs, SuccessEndsTheRemainingTasksWell) {
  JobBuilder builder;
  builder.Run()
      .Commit(500)
      .Do(ExportStarted{"j", 500, "last"})
      .Do(ExportWritten{"j", 500, "/export"});
  const std::vector<Effect> effects =
      ApplyTo(builder, JobSucceeded{"j", "done", {500, 2, {{"loss", 1}}}});
  EXPECT_EQ(Count<SendDesired>(effects), 1);
  EXPECT_EQ(builder.job().state, JobState::kSucceeded);
  EXPECT_EQ(builder.job().final_progress.metrics["loss"], 1);
  EXPECT_EQ(builder.task("ps/0").state, TaskState::kSucceeded);
  // Their processes are still to be stopped.
  EXPECT_EQ(builder.state().active.count("j"), 1u);
  ExpectSound(builder);
}

TEST(ApplyJobs, SuccessNeedsAnExport) {
  JobBuilder builder;
  builder.Run();
  ApplyTo(builder, JobSucceeded{"j", "done", {}});
  EXPECT_EQ(builder.job().state, JobState::kRunning);
  EXPECT_THAT(builder.state().violation, HasSubstr("no export"));
}

TEST(ApplyJobs, FailureKeepsTheCauseAndCancelsTheOthers) {
  JobBuilder builder;
  builder.Run().Do(TaskExited{"j", "worker/1", {}, true, "it failed"});
  builder.Do(JobFailed{"j", {"worker/1", "it failed", {}}, "reason", {}});
  EXPECT_EQ(builder.job().state, JobState::kFailed);
  EXPECT_EQ(builder.job().cause->task, "worker/1");
  EXPECT_EQ(builder.task("worker/1").state, TaskState::kFailed);
  EXPECT_EQ(builder.task("worker/0").state, TaskState::kCancelled);
  ExpectSound(builder);
}

TEST(ApplyJobs, CancellingAQueuedJobLeavesNothingActive) {
  JobBuilder builder;
  builder.Queue().Do(JobCancelled{"j", "cancelled", {}});
  EXPECT_EQ(builder.job().state, JobState::kCancelled);
  EXPECT_EQ(builder.task("ps/0").state, TaskState::kCancelled);
  EXPECT_TRUE(builder.state().active.empty());
  ExpectSound(builder);
}

TEST(ApplyTasks, StartedThenAttached) {
  JobBuilder builder;
  builder.Place().Do(TaskStarted{"j", "ps/0", 41});
  EXPECT_EQ(builder.task("ps/0").state, TaskState::kStarting);
  EXPECT_EQ(builder.task("ps/0").pid, 41);
  builder.Do(TaskAttached{"j", "ps/0", 6, 42, {"h", "/s", "a:1"}, {}});
  EXPECT_EQ(builder.task("ps/0").state, TaskState::kRunning);
  EXPECT_EQ(builder.task("ps/0").pid, 42);
  EXPECT_EQ(builder.task("ps/0").incarnation, 6u);
  EXPECT_EQ(builder.task("ps/0").endpoint.tcp, "a:1");
  ExpectSound(builder);
}

TEST(ApplyTasks, AnExitFreesResourcesAndIsTold) {
  JobBuilder builder;
  builder.Run();
  const std::vector<Effect> effects = ApplyTo(
      builder, TaskExited{"j", "worker/1", {}, false, "has taken its steps"});
  EXPECT_EQ(builder.task("worker/1").state, TaskState::kSucceeded);
  EXPECT_EQ(Count<SendDesired>(effects), 1);
  EXPECT_EQ(Count<ReviewQueue>(effects), 1);
  EXPECT_EQ(ReservedByNode(builder.state())["node-a"].millicpus, 3000);
  ExpectSound(builder);
}

TEST(ApplyTasks, ALateExitKeepsTheStateThatTheJobsEndGave) {
  JobBuilder builder;
  builder.Run().Do(JobCancelled{"j", "cancelled", {}});
  ExitCause exit;
  exit.code = 143;
  builder.Do(TaskExited{"j", "ps/0", exit, false, "ended"});
  EXPECT_EQ(builder.task("ps/0").state, TaskState::kCancelled);
  EXPECT_EQ(builder.task("ps/0").exit->code, 143);
  EXPECT_FALSE(builder.task("ps/0").process_alive);
  ExpectSound(builder);
}

TEST(ApplyTasks, OneThatIsGivenUpIsRefusedAndKeepsItsResources) {
  JobBuilder builder;
  builder.Run();
  const std::vector<Effect> effects =
      ApplyTo(builder, TaskGivenUp{"j", "worker/0", true, "node gone"});
  EXPECT_EQ(Count<RefuseTask>(effects), 1);
  EXPECT_EQ(builder.task("worker/0").state, TaskState::kLost);
  EXPECT_TRUE(builder.task("worker/0").process_alive);
}

TEST(ApplyTasks, OnlyAnEndedTaskIsReleased) {
  JobBuilder builder;
  builder.Run().Do(TaskReleased{"j", "ps/0", "x"});
  EXPECT_THAT(builder.state().violation, HasSubstr("has not ended"));
  builder.state().violation.clear();
  builder.Do(JobCancelled{"j", "cancelled", {}})
      .Do(TaskReleased{"j", "ps/0", ""});
  EXPECT_FALSE(builder.task("ps/0").process_alive);
  ExpectSound(builder);
}

TEST(ApplyCheckpoints, CommittedOnesAreInOrder) {
  JobBuilder builder;
  builder.Run().Commit(100).Commit(200);
  ASSERT_EQ(builder.job().checkpoints.size(), 2u);
  builder.Commit(200);
  EXPECT_THAT(builder.state().violation, HasSubstr("not newer"));
  EXPECT_EQ(builder.job().checkpoints.size(), 2u);
}

TEST(ApplyCheckpoints, RetiredOnesAreToldForDeletion) {
  JobBuilder builder;
  builder.Run().Commit(100).Commit(200);
  const std::vector<Effect> effects =
      ApplyTo(builder, CheckpointsRetired{"j", {100}});
  EXPECT_EQ(Count<SendCommitted>(effects), 1);
  EXPECT_EQ(builder.job().checkpoints.size(), 1u);
  ASSERT_EQ(builder.job().retired.size(), 1u);
  EXPECT_EQ(builder.job().retired[0].step, 100);
  ExpectSound(builder);
}

TEST(ApplyCheckpoints, RememberedRetiredOnesAreBounded) {
  JobBuilder builder;
  builder.Run();
  for (int64_t step = 1; step <= 40; ++step) {
    builder.Commit(step);
    if (step > 1) builder.Do(CheckpointsRetired{"j", {step - 1}});
  }
  EXPECT_EQ(builder.job().retired.size(), kMaxRetiredCheckpoints);
  EXPECT_EQ(builder.job().retired.back().step, 39);
  ExpectSound(builder);
}

TEST(ApplyCheckpoints, OneInUseIsPinned) {
  JobBuilder builder;
  builder.Run().Commit(100).Commit(200).Do(EvaluationStarted{"j", 100});
  builder.Do(CheckpointsRetired{"j", {100}});
  EXPECT_THAT(builder.state().violation, HasSubstr("in use"));
  EXPECT_EQ(builder.job().checkpoints.size(), 2u);
}

TEST(ApplyCheckpoints, ScoresUnpin) {
  JobBuilder builder;
  builder.Run().Commit(100);
  EXPECT_EQ(Count<SendEvaluate>(ApplyTo(builder, EvaluationStarted{"j", 100})),
            1);
  EXPECT_EQ(builder.job().evaluating, 100);
  builder.Do(CheckpointEvaluated{"j", 100, {{"accuracy", 0.5}}});
  EXPECT_FALSE(builder.job().evaluating.has_value());
  EXPECT_TRUE(builder.job().checkpoints[0].evaluated);
  EXPECT_EQ(builder.job().checkpoints[0].values["accuracy"], 0.5);
  ExpectSound(builder);
}

TEST(ApplyCheckpoints, OnlyTheExportAskedForCounts) {
  JobBuilder builder;
  builder.Run().Commit(100).Do(ExportWritten{"j", 100, "/export"});
  EXPECT_TRUE(builder.job().export_uri.empty());
  builder.state().violation.clear();
  EXPECT_EQ(Count<SendExport>(ApplyTo(builder, ExportStarted{"j", 100, ""})),
            1);
  builder.Do(ExportWritten{"j", 100, "/export"});
  EXPECT_EQ(builder.job().export_uri, "/export");
  ExpectSound(builder);
}

TEST(ApplyCheckpoints, PlanAndTrainingDoneAreKept) {
  JobBuilder builder;
  builder.Run()
      .Do(PlanAnnounced{"j", {1000, 100, 6400, 64}})
      .Do(TrainingFinished{"j", "worker/1", 1000});
  EXPECT_EQ(builder.job().plan->total_steps, 1000);
  EXPECT_TRUE(builder.task("worker/1").training_done);
  EXPECT_FALSE(builder.task("worker/0").training_done);
}

JobFacts PushedFacts() {
  JobFacts facts = Facts(1, 1, 0);
  facts.pushed = {{"train", 1}};
  return facts;
}

TEST(ApplyDatasets, WalkFromBeginToComplete) {
  JobBuilder builder(PushedFacts());
  builder.Run().Do(ProducerBegun{"j", "train", "p"});
  builder.Do(
      PartitionSealed{"j", "train", "p", "0", {"a", 60, 1, "feed/0", ""}});
  EXPECT_EQ(RowsOf(builder.job().datasets[0]), 60);
  builder.Do(ProducerCommitted{"j", "train", "p"});
  EXPECT_FALSE(builder.job().datasets[0].complete);
  EXPECT_EQ(
      Count<SendDataset>(ApplyTo(builder, DatasetCompleted{"j", "train"})), 1);
  EXPECT_TRUE(builder.job().datasets[0].complete);
  ExpectSound(builder);
  // Nothing changes afterwards.
  builder.Do(ProducerBegun{"j", "train", "late"});
  EXPECT_THAT(builder.state().violation, HasSubstr("is complete"));
}

TEST(ApplyDatasets, AnAbortDropsWhatWasSealed) {
  JobBuilder builder(PushedFacts());
  builder.Run()
      .Do(PartitionSealed{"j", "train", "p", "0", {"a", 60, 1, "", ""}})
      .Do(ProducerAborted{"j", "train", "p"});
  EXPECT_TRUE(builder.job().datasets[0].producers.empty());
  builder.Do(ProducerAborted{"j", "train", "p"});
  EXPECT_THAT(builder.state().violation, HasSubstr("nothing to drop"));
}

TEST(ApplyDatasets, OneWithOpenProducersIsNotComplete) {
  JobBuilder builder(PushedFacts());
  builder.Run()
      .Do(ProducerBegun{"j", "train", "p"})
      .Do(ProducerBegun{"j", "train", "q"})
      .Do(ProducerCommitted{"j", "train", "p"})
      .Do(DatasetCompleted{"j", "train"});
  EXPECT_FALSE(builder.job().datasets[0].complete);
}

TEST(ApplyNodes, ANodeIsLostOnlyAfterItsTasks) {
  JobBuilder builder;
  builder.Run().Do(NodeLost{"node-a", "silent"});
  EXPECT_THAT(builder.state().violation, HasSubstr("still counts on"));
  builder.state().violation.clear();
  builder.Do(TaskGivenUp{"j", "worker/0", true, "node gone"})
      .Do(JobFailed{"j", {"worker/0", "lost", {}}, "lost", {}})
      .Do(NodeLost{"node-a", "silent"});
  EXPECT_TRUE(builder.state().nodes["node-a"].gone);
  EXPECT_TRUE(builder.state().active.empty());
  ExpectSound(builder);
  builder.Do(Registered("node-a"));
  EXPECT_FALSE(builder.state().nodes["node-a"].gone);
}

TEST(Apply, EventsOfAJobAreBounded) {
  JobBuilder builder;
  builder.Run();
  for (size_t i = 0; i < kMaxEventsPerJob + 50; ++i) {
    builder.Do(PlanAnnounced{"j", {static_cast<int64_t>(i), 1, 1, 1}});
  }
  EXPECT_EQ(builder.job().events.size(), kMaxEventsPerJob);
  EXPECT_EQ(builder.job().events.back().sequence, builder.state().last_index);
  ExpectSound(builder);
}

TEST(Apply, AnUnknownJobIsAViolationForEveryEvent) {
  for (const EventBody& body : testing::OneOfEach()) {
    if (std::holds_alternative<JobSubmitted>(body) ||
        std::holds_alternative<NodeRegistered>(body)) {
      continue;
    }
    State state;
    EXPECT_TRUE(Apply(state, Event{testing::At(0), body}).empty());
    EXPECT_FALSE(state.violation.empty()) << Describe(state, body).kind;
    state.violation.clear();
    EXPECT_TRUE(state.jobs.empty());
    EXPECT_TRUE(state.nodes.empty());
    EXPECT_TRUE(CheckInvariants(state).ok());
  }
}

TEST(Describe, NeverTellsASecret) {
  State state;
  for (const EventBody& body : testing::OneOfEach()) {
    const Description description = Describe(state, body);
    EXPECT_FALSE(description.kind.empty());
    EXPECT_FALSE(description.message.empty());
    EXPECT_THAT(description.message, ::testing::Not(HasSubstr("token")));
  }
}

TEST(Describe, ExitsAreToldInWords) {
  ExitCause exit;
  exit.code = 3;
  EXPECT_EQ(DescribeExit(exit), "ended with exit code 3");
  exit.message = "no data";
  EXPECT_EQ(DescribeExit(exit), "ended with exit code 3: no data");
  exit = {};
  exit.kind = ExitCause::Kind::kSignaled;
  exit.signal = 9;
  EXPECT_EQ(DescribeExit(exit), "killed by SIGKILL");
}

}  // namespace
}  // namespace tfd::coordinator
