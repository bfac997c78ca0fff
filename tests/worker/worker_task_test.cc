// Whole tasks against a coordinator and shards that live in this process.
#include "worker/worker_task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <thread>

#include "common/net/endpoint.h"
#include "common/net/server.h"
#include "common/testing/temp_folder.h"
#include "tests/ps/exchange_fixture.h"
#include "tests/worker/worker_testing.h"
#include "tfd/v1/task.grpc.pb.h"

namespace tfd::worker {
namespace {

using ::testing::HasSubstr;

// Answers hello with welcome and the membership, keeps what tasks send, and
// sends them what a test wants.
class FakeCoordinator final : public v1::TaskLink::Service {
 public:
  using Stream = grpc::ServerReaderWriter<v1::TaskCommand, v1::TaskMessage>;

  explicit FakeCoordinator(v1::Membership membership)
      : membership_(std::move(membership)) {}

  grpc::Status Attach(grpc::ServerContext*, Stream* stream) override {
    v1::TaskMessage message;
    if (!stream->Read(&message)) return grpc::Status::OK;
    const std::string task = message.hello().task();
    v1::TaskCommand command;
    command.mutable_welcome()->set_heartbeat_interval_ms(1000);
    command.mutable_welcome()->set_patience_ms(30000);
    stream->Write(command);
    *command.mutable_membership() = membership_;
    stream->Write(command);
    {
      absl::MutexLock lock(&mutex_);
      streams_[task] = stream;
    }
    while (stream->Read(&message)) {
      absl::MutexLock lock(&mutex_);
      received_.push_back({task, message});
    }
    absl::MutexLock lock(&mutex_);
    streams_.erase(task);
    return grpc::Status::OK;
  }

  void Send(const std::string& task, const v1::TaskCommand& command) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return streams_.count(task) > 0;
    };
    ASSERT_TRUE(
        mutex_.AwaitWithTimeout(absl::Condition(&there), ps::kTestTimeout));
    streams_[task]->Write(command);
  }

  // The first message of a kind that a task sent.
  v1::TaskMessage Await(const std::string& task,
                        v1::TaskMessage::MessageCase kind) {
    v1::TaskMessage found;
    absl::MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      for (const auto& [from, message] : received_) {
        if (from != task || message.message_case() != kind) continue;
        found = message;
        return true;
      }
      return false;
    };
    EXPECT_TRUE(
        mutex_.AwaitWithTimeout(absl::Condition(&there), ps::kTestTimeout));
    return found;
  }

 private:
  const v1::Membership membership_;
  absl::Mutex mutex_;
  std::map<std::string, Stream*> streams_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::pair<std::string, v1::TaskMessage>> received_
      ABSL_GUARDED_BY(mutex_);
};

class WorkerTaskTest : public ::testing::Test {
 protected:
  WorkerTaskTest()
      : spec_(TestJob(folder_.path(), v1::ModelSpec::CNN, /*steps=*/12)) {
    WriteQuarters(folder_ / "train-images", folder_ / "train-labels", 100);
    WriteQuarters(folder_ / "validation-images", folder_ / "validation-labels",
                  60);
  }

  void Start(int workers) {
    spec_.mutable_tasks()->mutable_worker()->set_count(workers);
    cluster_ = std::make_unique<ps::TestCluster>(folder_.path(), 1, 1, spec_);
    v1::Membership membership;
    membership.set_generation(1);
    v1::Member& shard = *membership.add_members();
    shard.set_task("ps/0");
    shard.mutable_endpoint()->set_host_id(net::HostId());
    shard.mutable_endpoint()->set_unix_path(
        cluster_->servers[0]->target().substr(std::string("unix:").size()));
    for (int i = 0; i < workers; ++i) {
      membership.add_members()->set_task(absl::StrCat("worker/", i));
    }
    coordinator_ = std::make_unique<FakeCoordinator>(membership);
    net::ServerOptions options;
    options.tcp = "";
    options.unix_path = folder_ / "coordinator.sock";
    server_ = Must(net::Server::Start(options, {coordinator_.get()}));
  }

  TaskEnvironment Environment(const std::string& role, int number) {
    TaskEnvironment environment;
    environment.coordinator = "unix:" + (folder_ / "coordinator.sock");
    environment.job = "job-1";
    environment.role = role;
    environment.number = number;
    environment.task = absl::StrCat(role, "/", number);
    environment.generation = 1;
    environment.token = ps::kTestToken;
    environment.spec = spec_;
    return environment;
  }

  // The checkpoint at the end of the training.
  v1::CheckpointRef SaveLast() {
    ps::TestShard& shard = *cluster_->servers[0];
    const auto saved = shard.WaitSaved(1);
    v1::CheckpointManifest manifest =
        Must(shard.host().Manifest(spec_.stop().steps()));
    *manifest.add_shards() = Must(saved[0].file);
    return Must(shard.store().WriteManifest(manifest));
  }

  const testing::TempFolder folder_;
  v1::JobSpec spec_;
  std::unique_ptr<ps::TestCluster> cluster_;
  std::unique_ptr<FakeCoordinator> coordinator_;
  std::unique_ptr<net::Server> server_;
};

TEST_F(WorkerTaskTest, WorkersTrainAndTheFirstFinishesWithoutAnEvaluator) {
  Start(/*workers=*/2);
  TaskControl first_control;
  TaskControl second_control;
  absl::Status first;
  absl::Status second;
  std::thread first_thread(
      [&] { first = RunTask(Environment("worker", 0), &first_control); });
  std::thread second_thread(
      [&] { second = RunTask(Environment("worker", 1), &second_control); });
  second_thread.join();
  EXPECT_EQ(second, absl::OkStatus());
  EXPECT_EQ(
      coordinator_->Await("worker/1", v1::TaskMessage::kDone).done().step(),
      12);
  const v1::TrainingPlan plan =
      coordinator_->Await("worker/0", v1::TaskMessage::kPlan).plan();
  EXPECT_EQ(plan.total_steps(), 12);
  EXPECT_EQ(plan.steps_per_epoch(), 3);
  EXPECT_EQ(plan.records(), 100);
  EXPECT_EQ(plan.global_batch_size(), 40);
  EXPECT_EQ(coordinator_->Await("worker/0", v1::TaskMessage::kMetrics)
                .metrics()
                .step(),
            1);
  coordinator_->Await("worker/0", v1::TaskMessage::kDone);

  v1::TaskCommand command;
  *command.mutable_evaluate()->mutable_checkpoint() = SaveLast();
  coordinator_->Send("worker/0", command);
  const v1::Evaluated evaluated =
      coordinator_->Await("worker/0", v1::TaskMessage::kEvaluated).evaluated();
  EXPECT_EQ(evaluated.step(), 12);
  EXPECT_EQ(evaluated.values().at("records"), 60);
  const v1::CheckpointRef checkpoint = command.evaluate().checkpoint();
  *command.mutable_export_()->mutable_checkpoint() = checkpoint;
  coordinator_->Send("worker/0", command);
  EXPECT_EQ(coordinator_->Await("worker/0", v1::TaskMessage::kExported)
                .exported()
                .uri(),
            folder_ / "export");
  first_control.End(absl::CancelledError("told to stop"));
  first_thread.join();
  EXPECT_EQ(first, absl::CancelledError("told to stop"));
}

TEST_F(WorkerTaskTest, AnEvaluatorServesUntilItIsTold) {
  spec_.mutable_tasks()->mutable_evaluator()->set_count(1);
  Start(/*workers=*/1);
  TaskControl worker_control;
  TaskControl evaluator_control;
  absl::Status evaluator;
  std::thread evaluator_thread([&] {
    evaluator = RunTask(Environment("evaluator", 0), &evaluator_control);
  });
  EXPECT_EQ(RunTask(Environment("worker", 0), &worker_control),
            absl::OkStatus());
  v1::TaskCommand command;
  *command.mutable_evaluate()->mutable_checkpoint() = SaveLast();
  coordinator_->Send("evaluator/0", command);
  EXPECT_EQ(coordinator_->Await("evaluator/0", v1::TaskMessage::kEvaluated)
                .evaluated()
                .step(),
            12);
  evaluator_control.End(absl::CancelledError("told to stop"));
  evaluator_thread.join();
  EXPECT_EQ(evaluator, absl::CancelledError("told to stop"));
}

TEST_F(WorkerTaskTest, WhatIsWrongWithTheDataIsWhatTheTaskSays) {
  Start(/*workers=*/1);
  spec_.mutable_data()->mutable_train()->set_features(folder_ / "no-images");
  TaskControl control;
  const absl::Status status = RunTask(Environment("worker", 0), &control);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no-images"));
}

}  // namespace
}  // namespace tfd::worker
