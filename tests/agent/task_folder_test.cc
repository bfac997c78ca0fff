#include "daemon/agent/task_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "common/testing/temp_folder.h"
#include "tests/agent/agent_testing.h"

namespace tfd::agent {
namespace {

class TaskFolderTest : public ::testing::Test {
 protected:
  const tfd::testing::TempFolder folder_;
};

TEST_F(TaskFolderTest, ALaunchIsReadAsItWasWritten) {
  Launch launch;
  launch.cluster = "c1";
  launch.command = {"/bin/x", "with spaces", "\"quoted\"", "ünï"};
  launch.environment = {{"A", "b=c"}, {"EMPTY", ""}};
  launch.working_folder = "/w";
  launch.log_folder = "/l";
  launch.log_bytes = 123;
  launch.log_files = 7;
  launch.grace_ms = 99;
  ASSERT_TRUE(WriteLaunch(folder_.path(), launch).ok());
  const auto read = ReadLaunch(folder_.path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->cluster, launch.cluster);
  EXPECT_EQ(read->command, launch.command);
  EXPECT_EQ(read->environment, launch.environment);
  EXPECT_EQ(read->working_folder, launch.working_folder);
  EXPECT_EQ(read->log_folder, launch.log_folder);
  EXPECT_EQ(read->log_bytes, launch.log_bytes);
  EXPECT_EQ(read->log_files, launch.log_files);
  EXPECT_EQ(read->grace_ms, launch.grace_ms);
}

TEST_F(TaskFolderTest, AnExitIsReadAsItWasWritten) {
  for (const auto kind :
       {ExitRecord::Kind::kExited, ExitRecord::Kind::kSignaled,
        ExitRecord::Kind::kStartFailed, ExitRecord::Kind::kUnknown}) {
    const ExitRecord record{kind, 3, 9, "broken \xff bytes", 1234567890123};
    ASSERT_TRUE(WriteExit(folder_.path(), record).ok());
    const auto read = ReadExit(folder_.path());
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->kind, kind);
    EXPECT_EQ(read->code, 3);
    EXPECT_EQ(read->signal, 9);
    EXPECT_EQ(read->ended_at_ms, 1234567890123);
  }
}

TEST_F(TaskFolderTest, ATaskIsClaimedOnce) {
  const ShimRecord first{{10, 100, ""}, {11, 110, ""}};
  EXPECT_TRUE(ClaimTask(folder_.path(), first).ok());
  const absl::Status second = ClaimTask(folder_.path(), ShimRecord{});
  EXPECT_TRUE(absl::IsAlreadyExists(second)) << second;
  const auto read = ReadShim(folder_.path());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->shim.pid, 10);
  EXPECT_EQ(read->task.start_ticks, 110u);
  EXPECT_EQ(read->task.boot_id, BootId());
  int files = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(folder_.path())) {
    ++files;
  }
  EXPECT_EQ(files, 1) << "temporary files are left";
}

TEST_F(TaskFolderTest, SaysWhichFileIsBroken) {
  EXPECT_TRUE(absl::IsNotFound(ReadExit(folder_.path()).status()));
  for (const char* text :
       {"", "[]", "{", "{}", "{\"kind\": 3}",
        "{\"kind\":\"exited\",\"code\":\"x\",\"signal\":0,\"message\":\"\","
        "\"ended_at_ms\":0}"}) {
    Write(folder_ / kExitRecordFile, text);
    const absl::Status status = ReadExit(folder_.path()).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << text << ": " << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "exit.json")) << status;
  }
}

TEST_F(TaskFolderTest, ASecretHasItsModeFromTheStart) {
  ASSERT_TRUE(WriteSmallFile(folder_ / "token", "secret", 0400).ok());
  // Again: the old one cannot be opened for writing, and is replaced.
  ASSERT_TRUE(WriteSmallFile(folder_ / "token", "other", 0400).ok());
  struct stat info;
  ASSERT_EQ(stat((folder_ / "token").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0400u);
  EXPECT_EQ(Slurp(folder_ / "token"), "other");
}

TEST_F(TaskFolderTest, AFileThatCannotBeWrittenIsNamed) {
  const absl::Status status =
      WriteSmallFile(folder_ / "missing/token", "x", 0400);
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "missing/token"));
}

}  // namespace
}  // namespace tfd::agent
