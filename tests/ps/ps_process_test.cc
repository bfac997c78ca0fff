// tfd-ps as a process, from its environment to SIGTERM.
#include "ps/ps_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "tests/ps/exchange_fixture.h"
#include "tests/ps/fake_coordinator.h"

namespace tfd::ps {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kTerminated = 143;
constexpr int64_t kSteps = 10;

class PsProcessTest : public ::testing::Test {
 protected:
  PsProcessTest() {
    spec_ = TestSpec();
    spec_.mutable_optimizer()->set_name(v1::OptimizerSpec::ADAM);
    spec_.mutable_storage()->set_uri(folder_ / "storage");
    spec_.mutable_checkpoint()->set_every_steps(5);
  }

  // Starts a gang of parameter servers and gives them their membership.
  void StartGang(int shards, uint64_t generation) {
    tasks_.clear();
    membership_.Clear();
    membership_.set_generation(generation);
    for (int i = 0; i < shards; ++i) {
      tasks_.push_back(std::make_unique<PsTask>(folder_.path(), i, generation));
      const absl::Status started =
          tasks_.back()->Start(coordinator_.address(), spec_, kTestToken);
      ASSERT_TRUE(started.ok()) << started;
    }
    for (const auto& task : tasks_) {
      const auto hello = coordinator_.WaitHello(task->name());
      ASSERT_TRUE(hello.has_value()) << Log(*task);
      EXPECT_EQ(hello->job(), "j");
      EXPECT_EQ(hello->generation(), generation);
      EXPECT_EQ(hello->pid(), task->process().pid());
      v1::Member* member = membership_.add_members();
      member->set_task(task->name());
      member->set_incarnation(hello->incarnation());
      *member->mutable_endpoint() = hello->endpoint();
      if (hello->has_restore()) {
        *membership_.mutable_restore() = hello->restore();
      }
    }
    v1::TaskCommand command;
    *command.mutable_membership() = membership_;
    for (const auto& task : tasks_) coordinator_.Send(task->name(), command);
  }

  void StopGang() {
    for (const auto& task : tasks_) {
      ASSERT_TRUE(task->process().Signal(SIGTERM).ok());
    }
    for (const auto& task : tasks_) {
      const auto exit = task->process().Wait(kTestTimeout);
      ASSERT_TRUE(exit.ok()) << exit.status();
      EXPECT_EQ(exit->code, kTerminated) << exit->ToString() << Log(*task);
      EXPECT_EQ(ReadExitFile(task->exit_file()), "");
    }
    tasks_.clear();
    for (const auto& entry :
         std::filesystem::directory_iterator(folder_.path())) {
      EXPECT_TRUE(entry.path().extension() != ".sock" ||
                  entry.path().filename() == "coordinator.sock")
          << entry.path() << " was left behind";
    }
  }

  // Two workers to the end; their parameters.
  std::vector<float> Train(uint64_t generation) {
    const auto shards =
        ShardAddresses(membership_, "ps", v1::ExchangeSpec::AUTO);
    EXPECT_TRUE(shards.ok()) << shards.status();
    const tensor::Layout layout =
        TestLayout(2, static_cast<int>(shards->size()));
    std::vector<absl::StatusOr<std::vector<float>>> results(
        2, absl::UnknownError("did not run"));
    std::vector<std::thread> threads;
    for (uint32_t slot = 0; slot < 2; ++slot) {
      threads.emplace_back([&, slot] {
        ExchangeOptions options = TestExchangeOptions(
            TestCluster("", 0, 0, spec_), slot, generation, kSteps);
        options.shards = *shards;
        results[slot] = RunWorker(options, layout, kSteps, Always);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(results[0].ok()) << results[0].status();
    EXPECT_TRUE(results[1].ok()) << results[1].status();
    if (!results[0].ok() || !results[1].ok()) return {};
    EXPECT_EQ(*results[0], *results[1]);
    return *results[0];
  }

  // What the coordinator does when all shards have saved.
  v1::CheckpointRef MakeCheckpoint(int64_t step) {
    v1::TaskCommand command;
    v1::WriteManifest* manifest = command.mutable_write_manifest();
    manifest->set_step(step);
    for (size_t i = 0; i < tasks_.size(); ++i) {
      const auto saved = coordinator_.WaitMessage([step](const auto& message) {
        return message.has_shard_saved() &&
               message.shard_saved().step() == step;
      });
      EXPECT_TRUE(saved.has_value());
      if (saved) *manifest->add_shards() = saved->shard_saved().file();
    }
    coordinator_.Send("ps/0", command);
    const auto written = coordinator_.WaitMessage([step](const auto& message) {
      return message.has_manifest_written() &&
             message.manifest_written().checkpoint().step() == step;
    });
    EXPECT_TRUE(written.has_value()) << Log(*tasks_[0]);
    written_[step] = command;
    return written ? written->manifest_written().checkpoint()
                   : v1::CheckpointRef();
  }

  // Has no answer; but commands are done in order, and a manifest has one.
  void Commit(const std::vector<v1::CheckpointRef>& kept,
              const std::vector<v1::CheckpointRef>& deleted) {
    v1::TaskCommand command;
    for (const auto& ref : kept) {
      *command.mutable_committed()->add_checkpoints() = ref;
    }
    for (const auto& ref : deleted) {
      *command.mutable_committed()->add_deleted() = ref;
    }
    coordinator_.Send("ps/0", command);
    coordinator_.Send("ps/0", written_[kept.back().step()]);
    EXPECT_TRUE(coordinator_.WaitMessage(
        [](const auto& message) { return message.has_manifest_written(); }));
  }

  // Runs one that is to fail by itself; what it says.
  std::string ExpectFailure(uint64_t generation) {
    PsTask task(folder_.path(), 0, generation);
    EXPECT_TRUE(task.Start(coordinator_.address(), spec_, kTestToken).ok());
    const auto exit = task.process().Wait(kTestTimeout);
    EXPECT_TRUE(exit.ok()) << exit.status();
    if (exit.ok()) {
      EXPECT_EQ(exit->code, 1) << Log(task);
    }
    std::string said = ReadExitFile(task.exit_file());
    // An agent has a folder for each task.
    std::filesystem::remove(task.exit_file());
    return said;
  }

  static std::string Log(const PsTask& task) {
    return ReadFile(*LocalFileSystem(), task.log()).value_or("(no log)");
  }

  testing::TempFolder folder_;
  FakeCoordinator coordinator_{folder_ / "coordinator.sock"};
  v1::JobSpec spec_;
  v1::Membership membership_;
  std::vector<std::unique_ptr<PsTask>> tasks_;
  std::map<int64_t, v1::TaskCommand> written_;
};

TEST_F(PsProcessTest, TrainsSavesStopsAndGoesOnOnAnotherNumberOfShards) {
  StartGang(2, 1);
  ASSERT_FALSE(HasFatalFailure());
  const std::vector<float> expected = Train(1);
  const v1::CheckpointRef first = MakeCheckpoint(5);
  const v1::CheckpointRef last = MakeCheckpoint(10);
  Commit({first, last}, {});
  const tensor::CheckpointStore store(LocalFileSystem(), folder_ / "storage");
  auto committed = store.ReadCommitted();
  ASSERT_TRUE(committed.ok()) << committed.status();
  EXPECT_EQ(committed->job(), "j");
  EXPECT_EQ(committed->checkpoints_size(), 2);
  const auto reader = store.OpenCheckpoint(last);
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<float> saved(expected.size());
  ASSERT_TRUE(
      reader->ReadParameters({0, saved.size()}, absl::MakeSpan(saved)).ok());
  EXPECT_EQ(saved, expected);
  EXPECT_EQ(reader->manifest().cursor().records(), 1000);

  Commit({first}, {last});
  EXPECT_FALSE(std::filesystem::exists(last.uri()));
  StopGang();

  // Another job's first gang, with neither resume nor overwrite.
  EXPECT_THAT(ExpectFailure(1),
              AllOf(HasSubstr(folder_ / "storage"), HasSubstr("job j"),
                    HasSubstr("up to step 5"), HasSubstr("--resume"),
                    HasSubstr("--overwrite")));
  // Resumed from step 5, on three shards: the same bits.
  spec_.set_resume(true);
  StartGang(3, 3);
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(membership_.restore().step(), 5);
  EXPECT_EQ(Train(3), expected);
  StopGang();
  // Overwritten.
  spec_.set_resume(false);
  spec_.set_overwrite(true);
  std::filesystem::create_directories(folder_ / "storage/export");
  StartGang(1, 1);
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_FALSE(membership_.has_restore());
  EXPECT_FALSE(std::filesystem::exists(first.uri()));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "storage/export"));
  StopGang();
}

TEST_F(PsProcessTest, EndsWhenTheCoordinatorCallsItStale) {
  coordinator_.Refuse("generation 1 is stale, the job is at 2");
  EXPECT_THAT(ExpectFailure(1),
              HasSubstr("generation 1 is stale, the job is at 2"));
}

TEST_F(PsProcessTest, EndsWhenItsStorageCannotBeWritten) {
  // A file where the folder should be.
  std::filesystem::create_directories(folder_ / "storage");
  ASSERT_TRUE(WriteFileAtomically(*LocalFileSystem(),
                                  folder_ / "storage/checkpoints", "x")
                  .ok());
  StartGang(1, 1);
  ASSERT_FALSE(HasFatalFailure());
  // The exchange may or may not get to its end before the process is gone.
  ExchangeOptions options =
      TestExchangeOptions(TestCluster("", 0, 0, spec_), 0, 1, 5);
  options.shards = *ShardAddresses(membership_, "ps", v1::ExchangeSpec::AUTO);
  options.reconnect_timeout = absl::ZeroDuration();
  (void)RunWorker(options, TestLayout(1, 1), 5, Always);
  const auto exit = tasks_[0]->process().Wait(kTestTimeout);
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_EQ(exit->code, 1);
  EXPECT_THAT(ReadExitFile(tasks_[0]->exit_file()),
              AllOf(HasSubstr("checkpoint of step 5"),
                    HasSubstr("storage/checkpoints")));
}

TEST_F(PsProcessTest, StartedByHandItSaysWhatIsMissing) {
  const auto here = ProgramFolder();
  ASSERT_TRUE(here.ok());
  const auto result = RunToEnd(
      {std::filesystem::path(*here).parent_path().string() + "/bin/tfd-ps"}, "",
      kTestTimeout);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit.code, 1);
}

}  // namespace
}  // namespace tfd::ps
