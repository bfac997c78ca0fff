#include "ps/checkpoint_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/fs/file_system.h"
#include "common/testing/temp_folder.h"

namespace tfd::ps {
namespace {

using ::testing::HasSubstr;

class PrepareStorageTest : public ::testing::Test {
 protected:
  PrepareStorageTest() { spec_.mutable_storage()->set_uri(folder_.path()); }

  testing::TempFolder folder_;
  tensor::CheckpointStore store_{LocalFileSystem(), folder_.path()};
  v1::JobSpec spec_;
};

TEST_F(PrepareStorageTest, AnEmptyStorageIsAFreshStart) {
  for (const bool resume : {false, true}) {
    spec_.set_resume(resume);
    const auto restore = PrepareStorage(spec_, store_);
    ASSERT_TRUE(restore.ok()) << restore.status();
    EXPECT_FALSE(restore->has_value());
  }
}

TEST_F(PrepareStorageTest, ADamagedIndexIsNotTakenForAnEmptyStorage) {
  const std::string path = store_.checkpoints_folder() + "/committed.json";
  ASSERT_TRUE(
      LocalFileSystem()->CreateFolder(store_.checkpoints_folder()).ok());
  ASSERT_TRUE(WriteFileAtomically(*LocalFileSystem(), path, "{\"job").ok());
  EXPECT_THAT(std::string(PrepareStorage(spec_, store_).status().message()),
              HasSubstr("committed.json is damaged"));
  spec_.set_resume(true);
  EXPECT_EQ(PrepareStorage(spec_, store_).status().code(),
            absl::StatusCode::kDataLoss);
  spec_.set_resume(false);
  spec_.set_overwrite(true);
  EXPECT_TRUE(PrepareStorage(spec_, store_).ok());
  EXPECT_FALSE(LocalFileSystem()->Stat(path).ok());
}

TEST_F(PrepareStorageTest, AJobThatIsStartedAgainFindsItsOwn) {
  v1::CommittedIndex index;
  index.set_job("mine");
  index.add_checkpoints()->set_step(7);
  ASSERT_TRUE(store_.WriteCommitted(index).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(
      PrepareStorage(spec_, store_, "other").status()));
  for (const bool overwrite : {false, true}) {
    spec_.set_overwrite(overwrite);
    const auto restore = PrepareStorage(spec_, store_, "mine");
    ASSERT_TRUE(restore.ok()) << restore.status();
    EXPECT_FALSE(restore->has_value());
    EXPECT_TRUE(store_.ReadCommitted().ok());
  }
}

TEST(CheckpointKeeperTest, AManifestThatCannotBeWrittenIsAFailure) {
  testing::TempFolder folder;
  const tensor::CheckpointStore store(LocalFileSystem(), folder.path());
  absl::Mutex mutex;
  absl::Status failed;
  CheckpointKeeper::Events events;
  events.manifest = [](int64_t) {
    return absl::FailedPreconditionError("no worker has opened it");
  };
  events.on_written = [](const v1::CheckpointRef&) { ADD_FAILURE(); };
  events.on_failed = [&](const absl::Status& status) {
    absl::MutexLock lock(&mutex);
    failed = status;
  };
  CheckpointKeeper keeper("j", &store, std::move(events));
  v1::WriteManifest command;
  command.set_step(5);
  keeper.WriteManifest(command);
  absl::MutexLock lock(&mutex);
  const auto there = [&] { return !failed.ok(); };
  ASSERT_TRUE(
      mutex.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(30)));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("no worker"));
}

}  // namespace
}  // namespace tfd::ps
