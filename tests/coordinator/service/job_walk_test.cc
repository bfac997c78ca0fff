// Whole jobs over gRPC: the test plays the agent and the tasks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "tests/coordinator/testing/cluster.h"

namespace tfd::coordinator {
namespace {

using testing::FakeAgent;
using testing::FakeTask;
using ::testing::HasSubstr;
using testing::Spec;
using testing::TestCoordinator;

// One job on one node, played as far as a test wants.
class JobWalk : public ::testing::Test {
 protected:
  void Submit(const v1::JobSpec& spec, size_t tasks) {
    agent_ = std::make_unique<FakeAgent>("node-a", "first");
    agent_->Attach(coordinator_);
    const absl::StatusOr<v1::Job> job = coordinator_.Submit("j", spec);
    ASSERT_TRUE(job.ok()) << job.status();
    const v1::DesiredState desired = agent_->WaitTasks(tasks);
    for (const v1::TaskLaunch& launch : desired.tasks()) {
      launches_[launch.task()] = launch;
    }
  }
  void AttachAll() {
    for (const auto& [name, launch] : launches_) {
      auto& task = tasks_[name];
      if (task == nullptr) {
        task = std::make_unique<FakeTask>(launch, 100 + tasks_.size());
      }
      task->Attach(coordinator_);
    }
  }
  void Run(const v1::JobSpec& spec, size_t tasks) {
    Submit(spec, tasks);
    AttachAll();
    coordinator_.WaitForState("j", v1::RUNNING);
  }
  // The agent comes back with all its tasks, and they with it.
  void ComeBack() {
    std::vector<v1::TaskReport> reports;
    for (const auto& [name, launch] : launches_) {
      reports.push_back(testing::Running(launch));
    }
    agent_->Attach(coordinator_, reports);
    AttachAll();
  }

  void Announce(int64_t total_steps) {
    v1::TaskMessage message;
    message.mutable_plan()->set_total_steps(total_steps);
    message.mutable_plan()->set_steps_per_epoch(total_steps);
    tasks_["worker/0"]->Send(message);
  }
  void Save(int64_t step) {
    v1::TaskMessage message;
    message.mutable_shard_saved()->set_step(step);
    message.mutable_shard_saved()->mutable_file()->set_file("shard-0");
    tasks_["ps/0"]->Send(message);
  }
  void WriteManifest(int64_t step) {
    v1::TaskMessage message;
    auto* checkpoint = message.mutable_manifest_written()->mutable_checkpoint();
    checkpoint->set_step(step);
    checkpoint->set_uri(absl::StrCat("/runs/s", step));
    tasks_["ps/0"]->Send(message);
  }
  void Evaluate(const std::string& who, int64_t step, double accuracy) {
    v1::TaskMessage message;
    message.mutable_evaluated()->set_step(step);
    (*message.mutable_evaluated()->mutable_values())["accuracy"] = accuracy;
    tasks_[who]->Send(message);
  }
  void Export(const std::string& who, int64_t step) {
    v1::TaskMessage message;
    message.mutable_exported()->set_step(step);
    message.mutable_exported()->set_uri("/runs/export");
    tasks_[who]->Send(message);
  }

  TestCoordinator coordinator_;
  std::unique_ptr<FakeAgent> agent_;
  std::map<std::string, v1::TaskLaunch> launches_;
  std::map<std::string, std::unique_ptr<FakeTask>> tasks_;
};

TEST_F(JobWalk, FromSubmitToSuccess) {
  Submit(Spec(2, 1), 4);
  EXPECT_EQ(launches_["ps/0"].program(), v1::TaskLaunch::PS);
  EXPECT_EQ(launches_["evaluator/0"].program(), v1::TaskLaunch::WORKER);
  EXPECT_EQ(launches_["worker/1"].generation(), 1u);
  v1::JobSpec spec;
  ASSERT_TRUE(spec.ParseFromString(launches_["worker/1"].spec()));
  EXPECT_EQ(spec.checkpoint().keep(), 3);  // with defaults
  agent_->Started(launches_["ps/0"], 4711);
  coordinator_.WaitFor("j", [](const v1::Job& job) {
    return job.tasks(0).state() == v1::TASK_STARTING &&
           job.tasks(0).pid() == 4711;
  });
  AttachAll();
  const auto membership =
      tasks_["worker/0"]->Wait(v1::TaskCommand::kMembership);
  ASSERT_TRUE(membership.has_value());
  EXPECT_EQ(membership->membership().members_size(), 4);
  EXPECT_EQ(membership->membership().members(0).task(), "ps/0");
  EXPECT_EQ(membership->membership().members(0).endpoint().tcp(),
            "127.0.0.1:ps/0");
  EXPECT_FALSE(membership->membership().has_restore());

  Announce(1000);
  v1::TaskMessage metrics;
  metrics.mutable_metrics()->set_step(250);
  (*metrics.mutable_metrics()->mutable_values())["loss"] = 0.5;
  tasks_["worker/0"]->Send(metrics);
  const v1::Job running = coordinator_.WaitFor(
      "j", [](const v1::Job& job) { return job.metrics().count("loss") > 0; });
  EXPECT_EQ(running.step(), 250);
  EXPECT_EQ(running.total_steps(), 1000);
  EXPECT_THAT(running.reason(), HasSubstr("step 250 of 1000"));

  Save(1000);
  const auto write = tasks_["ps/0"]->Wait(v1::TaskCommand::kWriteManifest);
  ASSERT_TRUE(write.has_value());
  EXPECT_EQ(write->write_manifest().shards(0).file(), "shard-0");
  WriteManifest(1000);
  const auto committed = tasks_["ps/0"]->Wait(v1::TaskCommand::kCommitted);
  ASSERT_TRUE(committed.has_value());
  EXPECT_EQ(committed->committed().checkpoints(0).step(), 1000);
  const auto evaluate = tasks_["evaluator/0"]->Wait(v1::TaskCommand::kEvaluate);
  ASSERT_TRUE(evaluate.has_value());
  EXPECT_EQ(evaluate->evaluate().checkpoint().uri(), "/runs/s1000");
  Evaluate("evaluator/0", 1000, 0.97);
  const auto exported = tasks_["evaluator/0"]->Wait(v1::TaskCommand::kExport);
  ASSERT_TRUE(exported.has_value());
  EXPECT_EQ(exported->export_().metrics().at("validation_accuracy"), 0.97);
  Export("evaluator/0", 1000);
  agent_->WaitTasks(0);
  const v1::Job done = coordinator_.WaitForState("j", v1::SUCCEEDED);
  EXPECT_EQ(done.export_uri(), "/runs/export");
  EXPECT_EQ(done.metrics().at("validation_accuracy"), 0.97);
  EXPECT_EQ(done.tasks(1).state(), v1::TASK_SUCCEEDED);
  EXPECT_TRUE(done.has_ended_at());
}

// The coordinator is destroyed and rebuilt from its state folder at every step
// of the same walk.
TEST_F(JobWalk, SurvivesARestartAtEveryStep) {
  Submit(Spec(1, 0), 2);
  coordinator_.Restart();
  agent_->Attach(coordinator_);
  agent_->WaitTasks(2);
  AttachAll();
  tasks_["ps/0"]->Wait(v1::TaskCommand::kMembership);
  coordinator_.Restart();
  ComeBack();
  tasks_["ps/0"]->Wait(v1::TaskCommand::kMembership);
  Announce(1000);
  Save(1000);
  tasks_["ps/0"]->Wait(v1::TaskCommand::kWriteManifest);
  coordinator_.WaitFor(
      "j", [](const v1::Job& job) { return job.total_steps() > 0; });
  coordinator_.Restart();
  ComeBack();
  // What was not journaled is said again by the task's link.
  Save(1000);
  tasks_["ps/0"]->Wait(v1::TaskCommand::kWriteManifest);
  WriteManifest(1000);
  tasks_["worker/0"]->Wait(v1::TaskCommand::kEvaluate);
  coordinator_.Restart();
  ComeBack();
  tasks_["ps/0"]->Wait(v1::TaskCommand::kCommitted);
  tasks_["worker/0"]->Wait(v1::TaskCommand::kEvaluate);
  Evaluate("worker/0", 1000, 0.5);
  tasks_["worker/0"]->Wait(v1::TaskCommand::kExport);
  coordinator_.Restart();
  ComeBack();
  tasks_["worker/0"]->Wait(v1::TaskCommand::kExport);
  Export("worker/0", 1000);
  coordinator_.WaitForState("j", v1::SUCCEEDED);
  coordinator_.Restart();
  agent_->Attach(coordinator_, {testing::Running(launches_["ps/0"])});
  agent_->WaitTasks(0);
  EXPECT_EQ(coordinator_.Get("j")->state(), v1::SUCCEEDED);
  EXPECT_EQ(coordinator_.Get("j")->generation(), 1u);
}

TEST_F(JobWalk, AFailingTaskIsTheCauseWithItsLastLines) {
  Run(Spec(2, 0), 3);
  agent_->Exited(launches_["worker/1"], 1, "the disk is on fire");
  const v1::Job job = coordinator_.WaitForState("j", v1::FAILED);
  EXPECT_EQ(job.cause().task(), "worker/1");
  EXPECT_THAT(job.cause().message(), HasSubstr("the disk is on fire"));
  EXPECT_EQ(job.cause().exit().code(), 1);
  EXPECT_EQ(job.cause().exit().last_lines(0), "the last line");
  EXPECT_THAT(job.reason(), HasSubstr("worker/1 on node-a"));
  agent_->WaitTasks(0);
}

TEST_F(JobWalk, ACancelledJobIsStopped) {
  Run(Spec(1, 0), 2);
  const absl::StatusOr<v1::Job> job = coordinator_.Cancel("j", "enough");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state(), v1::CANCELLED);
  EXPECT_EQ(job->reason(), "cancelled: enough");
  EXPECT_EQ(job->tasks(0).state(), v1::TASK_CANCELLED);
  agent_->WaitTasks(0);
  EXPECT_TRUE(coordinator_.Cancel("j", "again").ok());
  EXPECT_TRUE(absl::IsNotFound(coordinator_.Cancel("k", "").status()));
}

TEST_F(JobWalk, SubmittingAgainIsRecognised) {
  Submit(Spec(1, 0), 2);
  const absl::StatusOr<v1::Job> same = coordinator_.Submit("j", Spec(1, 0));
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_EQ(same->id(), "j");
  const absl::StatusOr<v1::Job> other = coordinator_.Submit("j", Spec(2, 0));
  EXPECT_TRUE(absl::IsAlreadyExists(other.status())) << other.status();
  EXPECT_THAT(std::string(other.status().message()),
              HasSubstr("tasks.worker.count"));
}

TEST_F(JobWalk, ABadSpecIsRefusedWithEverythingThatIsWrong) {
  v1::JobSpec spec = Spec(1, 0);
  spec.set_name("No Good");
  spec.mutable_optimizer()->set_lr(-1);
  const absl::StatusOr<v1::Job> job = coordinator_.Submit("j", spec);
  EXPECT_TRUE(absl::IsInvalidArgument(job.status())) << job.status();
  EXPECT_THAT(std::string(job.status().message()), HasSubstr("name"));
  EXPECT_THAT(std::string(job.status().message()), HasSubstr("optimizer.lr"));
}

TEST_F(JobWalk, AnIdIsDrawnWhereNoneIsGiven) {
  const absl::StatusOr<v1::Job> job = coordinator_.Submit("", Spec(1, 0));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_THAT(job->id(), ::testing::MatchesRegex("test-[a-z0-9]{6}"));
  EXPECT_EQ(job->state(), v1::QUEUED);
  EXPECT_THAT(job->reason(), HasSubstr("no node is there"));
}

TEST_F(JobWalk, ATaskNeedsItsJobsToken) {
  Submit(Spec(1, 0), 2);
  FakeTask task(launches_["ps/0"], 5);
  task.token = "guessed";
  task.Attach(coordinator_);
  EXPECT_TRUE(absl::IsUnauthenticated(task.End()));
  EXPECT_EQ(coordinator_.Get("j")->state(), v1::STARTING);
}

TEST_F(JobWalk, AnotherProtocolVersionIsNamed) {
  Submit(Spec(1, 0), 2);
  FakeTask task(launches_["ps/0"], 5);
  task.hello.set_protocol_version(99);
  task.Attach(coordinator_);
  const absl::Status status = task.End();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("version 99"));
  FakeAgent agent("node-b", "b");
  agent.protocol_version = 98;
  agent.Attach(coordinator_);
  EXPECT_THAT(std::string(agent.End().message()), HasSubstr("version 98"));
}

TEST_F(JobWalk, AStaleGenerationMustEnd) {
  Submit(Spec(1, 0), 2);
  FakeTask task(launches_["ps/0"], 5);
  task.hello.set_generation(7);
  task.Attach(coordinator_);
  const absl::Status status = task.End();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("stale"));
}

TEST_F(JobWalk, AFencedTaskIsToldToEnd) {
  v1::JobSpec spec = Spec(1, 0);
  spec.mutable_restart()->set_max_failures(0);
  Run(spec, 2);
  // Nobody's heartbeat comes; the node is given up with its tasks.
  for (int second = 0; second < 11; ++second) {
    coordinator_.Advance(absl::Seconds(1));
  }
  const v1::Job job = coordinator_.WaitForState("j", v1::FAILED);
  EXPECT_EQ(job.tasks(0).state(), v1::TASK_LOST);
  EXPECT_EQ(job.cause().exit().kind(), v1::ExitCause::NODE_LOST);
  const absl::Status status = tasks_["worker/0"]->End();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_EQ(coordinator_.Nodes().nodes(0).state(), v1::Node::GONE);
}

TEST_F(JobWalk, NodesTellWhatTheyOfferAndHold) {
  Run(Spec(1, 0), 2);
  const v1::ListNodesResponse nodes = coordinator_.Nodes();
  ASSERT_EQ(nodes.nodes_size(), 1);
  EXPECT_EQ(nodes.nodes(0).state(), v1::Node::READY);
  EXPECT_EQ(nodes.nodes(0).offered().cpus(), 8);
  EXPECT_EQ(nodes.nodes(0).reserved().cpus(), 2);
  EXPECT_EQ(nodes.nodes(0).tasks(0), "j:ps/0");
}

TEST_F(JobWalk, ASecondAgentOfTheSameNameHasToWait) {
  Submit(Spec(1, 0), 2);
  FakeAgent twin("node-a", "second");
  twin.Attach(coordinator_);
  const absl::Status status = twin.End();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("--node NAME"));
}

TEST_F(JobWalk, AClusterKeepsItsIdOverARestart) {
  FakeAgent agent("node-a", "first");
  agent.Attach(coordinator_);
  const std::string cluster = agent.WaitWelcome();
  EXPECT_FALSE(cluster.empty());
  coordinator_.Restart();
  agent.Attach(coordinator_);
  EXPECT_EQ(agent.WaitWelcome(), cluster);
}

}  // namespace
}  // namespace tfd::coordinator
