#include "common/child_process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "common/interrupt.h"
#include "common/testing/temp_folder.h"
#include "common/unique_descriptor.h"

namespace tfd {
namespace {

using ::testing::HasSubstr;

// Far more than any of these tests takes; only a failure waits for it.
constexpr absl::Duration kPatience = absl::Seconds(30);

ChildOptions Shell(const std::string& script) {
  ChildOptions options;
  options.command = {"/bin/sh", "-c", script};
  return options;
}

std::string Contents(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string Helper() { return *ProgramFolder() + "/tfd_child_process_helper"; }

// Runs the script to its end and gives what it wrote.
std::string OutputOf(ChildOptions options) {
  const testing::TempFolder folder;
  options.stdout_path = folder / "out";
  absl::StatusOr<ChildProcess> child = ChildProcess::Start(options);
  EXPECT_TRUE(child.ok()) << child.status();
  if (!child.ok()) return "";
  EXPECT_TRUE(child->Wait(kPatience).ok());
  return Contents(options.stdout_path);
}

TEST(ChildProcessTest, ItsExitCodeIsReported) {
  absl::StatusOr<ChildProcess> child = ChildProcess::Start(Shell("exit 3"));
  ASSERT_TRUE(child.ok()) << child.status();
  const absl::StatusOr<ChildExit> exit = child->Wait(kPatience);
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_EQ(exit->code, 3);
  EXPECT_FALSE(exit->ok());
  EXPECT_EQ(exit->ToString(), "exit code 3");
  // And again, as often as one asks.
  EXPECT_EQ(child->Wait(absl::ZeroDuration())->code, 3);
  EXPECT_TRUE(absl::IsFailedPrecondition(child->Signal(SIGTERM)));
}

TEST(ChildProcessTest, TheSignalThatEndedItIsReported) {
  absl::StatusOr<ChildProcess> child =
      ChildProcess::Start(Shell("kill -KILL $$"));
  ASSERT_TRUE(child.ok());
  const absl::StatusOr<ChildExit> exit = child->Wait(kPatience);
  ASSERT_TRUE(exit.ok());
  EXPECT_EQ(exit->code, -1);
  EXPECT_EQ(exit->signal, SIGKILL);
  EXPECT_EQ(exit->ToString(), "killed by SIGKILL");
}

TEST(ChildProcessTest, WaitGivesUpInTimeAndTheChildGoesOn) {
  absl::StatusOr<ChildProcess> child =
      ChildProcess::Start(Shell("exec sleep 1000"));
  ASSERT_TRUE(child.ok());
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(child->Wait(absl::Milliseconds(1)).status()));
  EXPECT_TRUE(child->Signal(0).ok());
}

TEST(ChildProcessTest, AProgramThatIsNotThereIsNamed) {
  ChildOptions options;
  options.command = {"/no/such/program"};
  const absl::StatusOr<ChildProcess> child = ChildProcess::Start(options);
  EXPECT_TRUE(absl::IsNotFound(child.status())) << child.status();
  EXPECT_THAT(std::string(child.status().message()),
              HasSubstr("/no/such/program"));
}

TEST(ChildProcessTest, AFileThatIsNoProgramIsNamed) {
  const testing::TempFolder folder;
  std::ofstream(folder / "data") << "x";
  ChildOptions options;
  options.command = {folder / "data"};
  const absl::StatusOr<ChildProcess> child = ChildProcess::Start(options);
  EXPECT_TRUE(absl::IsPermissionDenied(child.status())) << child.status();
}

TEST(ChildProcessTest, AFolderThatIsNotThereIsNamed) {
  ChildOptions options = Shell("true");
  options.folder = "/no/such/folder";
  const absl::StatusOr<ChildProcess> child = ChildProcess::Start(options);
  EXPECT_THAT(std::string(child.status().message()),
              HasSubstr("in the folder /no/such/folder"));
}

TEST(ChildProcessTest, AnEmptyCommandIsRefused) {
  EXPECT_TRUE(
      absl::IsInvalidArgument(ChildProcess::Start(ChildOptions()).status()));
}

TEST(ChildProcessTest, TheEnvironmentIsExactlyWhatWasAskedFor) {
  ChildOptions options;
  options.command = {"/usr/bin/env"};
  options.environment = {{"A", "1"}, {"B", "two words"}};
  EXPECT_EQ(OutputOf(options), "A=1\nB=two words\n");
  options.environment->clear();
  EXPECT_EQ(OutputOf(options), "");
}

TEST(ChildProcessTest, WithoutOneTheEnvironmentIsTheParents) {
  ASSERT_EQ(setenv("TFD_CHILD_TEST", "inherited", 1), 0);
  EXPECT_EQ(OutputOf(Shell("echo $TFD_CHILD_TEST")), "inherited\n");
  unsetenv("TFD_CHILD_TEST");
}

TEST(ChildProcessTest, ItRunsInTheFolderAskedFor) {
  const testing::TempFolder folder;
  ChildOptions options = Shell("pwd -P");
  options.folder = folder.path();
  EXPECT_EQ(OutputOf(options), folder.path() + "\n");
}

TEST(ChildProcessTest, OutputIsAppended) {
  const testing::TempFolder folder;
  ChildOptions options = Shell("echo out; echo err >&2");
  options.stdout_path = folder / "out";
  options.stderr_path = folder / "err";
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<ChildProcess> child = ChildProcess::Start(options);
    ASSERT_TRUE(child.ok());
    ASSERT_TRUE(child->Wait(kPatience).ok());
  }
  EXPECT_EQ(Contents(options.stdout_path), "out\nout\n");
  EXPECT_EQ(Contents(options.stderr_path), "err\nerr\n");
}

TEST(ChildProcessTest, NoDescriptorAndNoSignalMaskIsInherited) {
  const UniqueDescriptor leak(open("/dev/null", O_RDONLY));
  ASSERT_TRUE(leak.valid());
  // Blocks SIGINT and SIGTERM and ignores SIGPIPE in this process.
  const Interrupt interrupt;
  ChildOptions options;
  options.command = {Helper(), "inherited"};
  EXPECT_EQ(OutputOf(options), "descriptors 0 1 2\nsignals\n");
  options.dies_with_parent = true;
  EXPECT_EQ(OutputOf(options), "descriptors 0 1 2\nsignals\n");
}

TEST(ChildProcessTest, ANewSessionHasNoInputAndIsItsOwnLeader) {
  ChildOptions options =
      Shell("cat; [ $(ps -o sid= -p $$) = $$ ] && echo leader");
  options.new_session = true;
  EXPECT_EQ(OutputOf(options), "leader\n");
}

TEST(ChildProcessTest, StopIsGentleWhereTheChildListens) {
  absl::StatusOr<ChildProcess> child =
      ChildProcess::Start(Shell("exec sleep 1000"));
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->Stop(kPatience).signal, SIGTERM);
}

TEST(ChildProcessTest, StopKillsAChildThatDoesNotListen) {
  const testing::TempFolder folder;
  const std::string ready = folder / "ready";
  ASSERT_EQ(mkfifo(ready.c_str(), 0600), 0);
  absl::StatusOr<ChildProcess> child = ChildProcess::Start(
      Shell("trap '' TERM; : > " + ready + "; exec sleep 1000"));
  ASSERT_TRUE(child.ok());
  // Opens once the child does, after its trap.
  const UniqueDescriptor opened(open(ready.c_str(), O_RDONLY));
  EXPECT_EQ(child->Stop(absl::Milliseconds(20)).signal, SIGKILL);
}

// A descriptor that is readable once the process, whoever's it is, has ended.
UniqueDescriptor Watch(pid_t pid) {
  return UniqueDescriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

bool HasEnded(const UniqueDescriptor& process, absl::Duration timeout) {
  pollfd one{process.get(), POLLIN, 0};
  return poll(&one, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) ==
         1;
}

TEST(ChildProcessTest, TheDestructorKillsAndReleaseDoesNot) {
  UniqueDescriptor killed;
  {
    absl::StatusOr<ChildProcess> child =
        ChildProcess::Start(Shell("exec sleep 1000"));
    ASSERT_TRUE(child.ok());
    killed = Watch(child->pid());
  }
  EXPECT_TRUE(HasEnded(killed, absl::ZeroDuration()));

  pid_t released = 0;
  {
    absl::StatusOr<ChildProcess> child =
        ChildProcess::Start(Shell("exec sleep 1000"));
    ASSERT_TRUE(child.ok());
    released = child->Release();
  }
  const UniqueDescriptor process = Watch(released);
  EXPECT_FALSE(HasEnded(process, absl::ZeroDuration()));
  kill(released, SIGKILL);
  EXPECT_TRUE(HasEnded(process, kPatience));
}

TEST(ChildProcessTest, AMovedChildBelongsToTheNewOne) {
  absl::StatusOr<ChildProcess> first =
      ChildProcess::Start(Shell("exec sleep 1000"));
  absl::StatusOr<ChildProcess> second =
      ChildProcess::Start(Shell("exec sleep 1000"));
  ASSERT_TRUE(first.ok() && second.ok());
  const pid_t pid = second->pid();
  const UniqueDescriptor replaced = Watch(first->pid());
  *first = *std::move(second);
  EXPECT_TRUE(HasEnded(replaced, absl::ZeroDuration()));
  EXPECT_EQ(first->pid(), pid);
  EXPECT_EQ(first->Stop(kPatience).signal, SIGTERM);
}

TEST(ChildProcessTest,
     AChildDiesWithItsParentAndNotWithTheThreadThatStartedIt) {
  const testing::TempFolder folder;
  const std::string path = folder / "pid";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  ChildOptions options;
  options.command = {Helper(), "parent", path};
  absl::StatusOr<ChildProcess> parent = ChildProcess::Start(options);
  ASSERT_TRUE(parent.ok()) << parent.status();
  const UniqueDescriptor reader(open(path.c_str(), O_RDONLY));
  pid_t pid = -1;
  ASSERT_EQ(read(reader.get(), &pid, sizeof(pid)),
            static_cast<ssize_t>(sizeof(pid)));
  ASSERT_GT(pid, 0);
  const UniqueDescriptor child = Watch(pid);
  ASSERT_TRUE(child.valid());
  // A SIGTERM from the thread's end would have been there already.
  EXPECT_FALSE(HasEnded(child, absl::Milliseconds(50)));
  ASSERT_TRUE(parent->Signal(SIGKILL).ok());
  EXPECT_TRUE(HasEnded(child, kPatience));
}

TEST(RunToEndTest, GivesOutputErrorsAndExit) {
  const absl::StatusOr<RunResult> result = RunToEnd(
      {"/bin/sh", "-c", "cat; echo bad >&2; exit 4"}, "input\n", kPatience);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "input\n");
  EXPECT_EQ(result->errors, "bad\n");
  EXPECT_EQ(result->exit.code, 4);
}

TEST(RunToEndTest, LargeInputAndOutputDoNotBlockEachOther) {
  const std::string input(3 << 20, 'x');
  const absl::StatusOr<RunResult> result =
      RunToEnd({"/bin/sh", "-c", "tee /dev/stderr"}, input, kPatience);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, input);
  EXPECT_EQ(result->errors, input);
}

TEST(RunToEndTest, AProgramThatTakesTooLongIsKilledAndNamed) {
  const absl::StatusOr<RunResult> result =
      RunToEnd({"/bin/sleep", "1000"}, "", absl::Milliseconds(20));
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status())) << result.status();
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("/bin/sleep"));
}

TEST(RunToEndTest, AProgramThatWritesWithoutEndIsKilled) {
  const absl::StatusOr<RunResult> result =
      RunToEnd({"/usr/bin/yes"}, "", kPatience);
  EXPECT_TRUE(absl::IsResourceExhausted(result.status())) << result.status();
}

TEST(RunToEndTest, WhatAProgramLeavesInTheBackgroundIsNotWaitedFor) {
  const absl::StatusOr<RunResult> result =
      RunToEnd({"/bin/sh", "-c", "sleep 1000 & echo $!"}, "", kPatience);
  ASSERT_TRUE(result.ok()) << result.status();
  const pid_t left = std::stoi(result->output);
  EXPECT_GT(left, 0);
  kill(left, SIGKILL);
}

TEST(ProgramFolderTest, IsWhereThisProgramIs) {
  const absl::StatusOr<std::string> folder = ProgramFolder();
  ASSERT_TRUE(folder.ok());
  EXPECT_EQ(access((*folder + "/tfd_common_test").c_str(), X_OK), 0);
}

}  // namespace
}  // namespace tfd
