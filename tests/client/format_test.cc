#include "client/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "absl/strings/str_split.h"

namespace tfd::client {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const absl::Time kNow = absl::FromUnixSeconds(1600000100);

v1::Job RunningJob() {
  v1::Job job;
  job.set_id("mnist-x1");
  job.set_state(v1::RUNNING);
  job.set_step(50);
  job.set_total_steps(100);
  job.set_epoch(0.5);
  job.mutable_spec()->mutable_stop()->set_epochs(1);
  job.mutable_started_at()->set_seconds(1600000090);
  (*job.mutable_metrics())["loss"] = 0.25;
  (*job.mutable_metrics())["samples_per_s"] = 9412.3;
  return job;
}

TEST(FormatTest, ProgressShowsWhatIsKnownAndTheTimeLeft) {
  EXPECT_EQ(FormatProgress(RunningJob(), kNow, 200),
            "mnist-x1  epoch 0.5/1  step 50/100  loss 0.2500  9,412 records/s"
            "  ETA 10.0 s");
}

TEST(FormatTest, ProgressBeforeTheFirstStepSaysWhatItWaitsFor) {
  v1::Job job = RunningJob();
  job.set_state(v1::QUEUED);
  job.set_reason("needs 2 cpus");
  EXPECT_EQ(FormatProgress(job, kNow, 200), "mnist-x1  QUEUED  needs 2 cpus");
}

TEST(FormatTest, ProgressIsCutAtTheTerminalsWidth) {
  std::string line = FormatProgress(RunningJob(), kNow, 20);
  EXPECT_EQ(line, "mnist-x1  epoch 0.5…");
}

TEST(FormatTest, TablesFitAHundredColumns) {
  Table table({"NAME", "REASON"});
  table.Add({"a", std::string(300, 'x')});
  table.Add({"bcd", "two\nlines"});
  std::vector<std::string> lines = absl::StrSplit(table.ToString(), '\n');
  EXPECT_EQ(lines[0], "NAME  REASON");
  EXPECT_EQ(lines[1], "a     " + std::string(93, 'x') + "…");
  EXPECT_EQ(lines[2], "bcd   two lines");
}

TEST(FormatTest, CauseNamesTaskExitMessageAndLastLines) {
  v1::Job job;
  v1::FailureCause* cause = job.mutable_cause();
  cause->set_task("worker/1");
  cause->set_message("label 200 of record 7 is outside the 10 classes");
  cause->mutable_exit()->set_kind(v1::ExitCause::EXITED);
  cause->mutable_exit()->set_code(1);
  cause->mutable_exit()->add_last_lines("step 3");
  EXPECT_EQ(FormatCause(job),
            "worker/1 failed (exit code 1): label 200 of record 7 is outside "
            "the 10 classes\nits last lines:\n  step 3\n");
}

TEST(FormatTest, CauseSaysOnceHowATaskEnded) {
  v1::Job job;
  v1::FailureCause* cause = job.mutable_cause();
  cause->set_task("worker/1");
  cause->set_message("ended with exit code 1: no such file");
  cause->mutable_exit()->set_kind(v1::ExitCause::EXITED);
  cause->mutable_exit()->set_code(1);
  EXPECT_EQ(FormatCause(job),
            "worker/1 failed: ended with exit code 1: no such file\n");
  // One that was given up has no exit.
  cause->clear_exit();
  cause->set_message("was silent for 10s");
  EXPECT_EQ(FormatCause(job), "worker/1 failed: was silent for 10s\n");
}

TEST(FormatTest, ExitNamesTheSignal) {
  v1::ExitCause exit;
  exit.set_kind(v1::ExitCause::SIGNALED);
  exit.set_signal(SIGKILL);
  EXPECT_EQ(FormatExit(exit), "killed by SIGKILL");
}

TEST(FormatTest, JobShowsItsTasks) {
  v1::Job job = RunningJob();
  v1::Task* task = job.add_tasks();
  task->set_name("ps/0");
  task->set_state(v1::TASK_RUNNING);
  task->set_pid(4711);
  std::string text = FormatJob(job, kNow);
  EXPECT_THAT(text, StartsWith("mnist-x1  RUNNING\n"));
  EXPECT_THAT(text, HasSubstr("ps/0  RUNNING"));
  EXPECT_THAT(text, HasSubstr("4711"));
  EXPECT_THAT(text, Not(HasSubstr("cause")));
  EXPECT_THAT(text, Not(HasSubstr("restarts")));
  job.set_restarts(2);
  EXPECT_THAT(FormatJob(job, kNow), HasSubstr("tfd events mnist-x1` says why"));
}

TEST(FormatTest, JsonHasTheNamesOfTheProto) {
  std::string json = ToJson(RunningJob());
  EXPECT_THAT(json, HasSubstr("\"total_steps\""));
  EXPECT_THAT(json, HasSubstr("\"RUNNING\""));
}

}  // namespace
}  // namespace tfd::client
