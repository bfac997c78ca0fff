#include "daemon/agent/shim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/child_process.h"
#include "common/testing/temp_folder.h"
#include "daemon/agent/process.h"
#include "daemon/agent/task_folder.h"
#include "daemon/agent/task_process.h"
#include "tests/agent/agent_testing.h"

namespace tfd::agent {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kHang = absl::Seconds(30);

class ShimTest : public ::testing::Test {
 protected:
  ShimTest() {
    std::filesystem::create_directories(folder_ / "logs");
    launch_.cluster = "c1";
    launch_.working_folder = folder_.path();
    launch_.log_folder = folder_ / "logs";
    launch_.environment = {{"PATH", "/usr/bin:/bin"}};
  }
  ~ShimTest() override {
    // What a failed test leaves.
    for (const pid_t pid : FindByEnvironment(Mark())) kill(pid, SIGKILL);
  }

  std::string Mark() const {
    return absl::StrCat("TFD_EXIT_FILE=", folder_.path(), "/exit_message");
  }

  ChildProcess Start(const std::string& script) {
    launch_.command = {"/bin/sh", "-c", script};
    return StartCommand();
  }
  ChildProcess StartCommand() {
    launch_.environment["TFD_EXIT_FILE"] = folder_ / "exit_message";
    EXPECT_TRUE(WriteLaunch(folder_.path(), launch_).ok());
    return StartAgain();
  }
  ChildProcess StartAgain() {
    ChildOptions options;
    options.command = {AgentProgram(), "shim", folder_.path()};
    auto shim = ChildProcess::Start(options);
    EXPECT_TRUE(shim.ok()) << shim.status();
    return *std::move(shim);
  }
  ExitRecord Run(const std::string& script) {
    ChildProcess shim = Start(script);
    return WaitFor(shim);
  }
  ExitRecord WaitFor(ChildProcess& shim) {
    const auto ended = shim.Wait(kHang);
    EXPECT_TRUE(ended.ok()) << ended.status();
    const auto exit = ReadExit(folder_.path());
    EXPECT_TRUE(exit.ok()) << exit.status();
    return exit.ok() ? *exit : ExitRecord{};
  }
  std::string Log(const std::string& name) const {
    return Slurp(folder_ / ("logs/" + name));
  }
  // The process that the script told about with `echo PID > NAME`.
  int Told(const std::string& name) {
    int pid = 0;
    EXPECT_TRUE(Eventually([&] { return (pid = PidIn(folder_ / name)) != 0; }));
    return pid;
  }

  const tfd::testing::TempFolder folder_;
  Launch launch_;
};

TEST_F(ShimTest, RecordsTheExitCodeAndKeepsBothOutputs) {
  const int64_t before = NowMs();
  const ExitRecord exit = Run("echo to out; echo to err >&2; exit 3");
  EXPECT_EQ(exit.kind, ExitRecord::Kind::kExited);
  EXPECT_EQ(exit.code, 3);
  EXPECT_GE(exit.ended_at_ms, before);
  EXPECT_LE(exit.ended_at_ms, NowMs());
  EXPECT_EQ(Log("stdout.log"), "to out\n");
  EXPECT_EQ(Log("stderr.log"), "to err\n");
}

TEST_F(ShimTest, RecordsTheSignal) {
  const ExitRecord exit = Run("kill -SEGV $$");
  EXPECT_EQ(exit.kind, ExitRecord::Kind::kSignaled);
  EXPECT_EQ(exit.signal, SIGSEGV);
}

TEST_F(ShimTest, SaysWhichProgramCannotBeRun) {
  launch_.command = {"/nowhere/program"};
  ChildProcess shim = StartCommand();
  const ExitRecord exit = WaitFor(shim);
  EXPECT_EQ(exit.kind, ExitRecord::Kind::kStartFailed);
  EXPECT_THAT(exit.message, HasSubstr("/nowhere/program"));
  EXPECT_THAT(exit.message, HasSubstr("No such file or directory"));
}

TEST_F(ShimTest, SaysThatTheLogsCannotBeWritten) {
  launch_.log_folder = folder_ / "missing";
  const ExitRecord exit = Run("true");
  EXPECT_EQ(exit.kind, ExitRecord::Kind::kStartFailed);
  EXPECT_THAT(exit.message, HasSubstr("missing/stdout.log"));
}

TEST_F(ShimTest, GivesTheTaskACleanStart) {
  launch_.environment["ONLY"] = "this";
  const ExitRecord exit =
      Run("env | grep -v -e ^PWD= -e ^_= | sort; pwd; cat; ls /proc/$$/fd; "
          "grep -e SigBlk -e SigIgn /proc/self/status; "
          "test $(cut -d' ' -f6 /proc/$$/stat) = $$ && echo own session");
  EXPECT_EQ(exit.code, 0);
  EXPECT_EQ(Log("stdout.log"),
            absl::StrCat("ONLY=this\nPATH=/usr/bin:/bin\n", Mark(), "\n",
                         folder_.path(),
                         "\n0\n1\n2\nSigBlk:\t0000000000000000\n"
                         "SigIgn:\t0000000000000000\nown session\n"));
}

TEST_F(ShimTest, NamesTheProcessesWhileTheTaskRuns) {
  ChildProcess shim = Start("echo $$ > pid; exec sleep 1000");
  const int task = Told("pid");
  const auto record = ReadShim(folder_.path());
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->shim.pid, shim.pid());
  EXPECT_EQ(record->task.pid, task);
  EXPECT_TRUE(record->shim.Alive());
  EXPECT_TRUE(record->task.Alive());
  EXPECT_FALSE(ReadExit(folder_.path()).ok());
  ASSERT_TRUE(shim.Signal(SIGTERM).ok());
  EXPECT_EQ(WaitFor(shim).signal, SIGTERM);
}

TEST_F(ShimTest, PassesTermOnToTheWholeGroup) {
  ChildProcess shim = Start(
      "sh -c 'trap \"echo child; exit 0\" TERM; echo $$ > pid; "
      "while :; do sleep 0.01; done' & "
      "trap 'wait; echo parent; exit 7' TERM; wait");
  Told("pid");
  ASSERT_TRUE(shim.Signal(SIGTERM).ok());
  const ExitRecord exit = WaitFor(shim);
  EXPECT_EQ(exit.kind, ExitRecord::Kind::kExited);
  EXPECT_EQ(exit.code, 7);
  EXPECT_EQ(Log("stdout.log"), "child\nparent\n");
}

TEST_F(ShimTest, KillsATaskThatIgnoresTerm) {
  launch_.grace_ms = 50;
  ChildProcess shim =
      Start("trap '' TERM; echo $$ > pid; while :; do sleep 0.01; done");
  Told("pid");
  ASSERT_TRUE(shim.Signal(SIGTERM).ok());
  const ExitRecord exit = WaitFor(shim);
  EXPECT_EQ(exit.kind, ExitRecord::Kind::kSignaled);
  EXPECT_EQ(exit.signal, SIGKILL);
}

TEST_F(ShimTest, KillsWhatATaskLeavesBehindInASessionOfItsOwn) {
  const ExitRecord exit =
      Run("setsid sh -c 'trap \"\" TERM HUP; echo $$ > pid; "
          "sleep 1000; sleep 1000' & "
          "until test -s pid; do sleep 0.01; done; exit 5");
  EXPECT_EQ(exit.code, 5);
  EXPECT_FALSE(IsAlive(Told("pid")));
  EXPECT_TRUE(FindByEnvironment(Mark()).empty());
}

TEST_F(ShimTest, StopsWhatHasASessionOfItsOwnToo) {
  launch_.grace_ms = 50;
  ChildProcess shim = Start(
      "setsid sh -c 'trap \"\" TERM; echo $$ > pid; "
      "while :; do sleep 0.01; done' & wait");
  Told("pid");
  ASSERT_TRUE(shim.Signal(SIGTERM).ok());
  WaitFor(shim);
  EXPECT_TRUE(FindByEnvironment(Mark()).empty());
}

TEST_F(ShimTest, KeepsBinaryOutputByteForByte) {
  Run("head -c 3000000 /dev/urandom | tee copy");
  EXPECT_EQ(Log("stdout.log").size(), 3'000'000u);
  EXPECT_TRUE(Log("stdout.log") == Slurp(folder_ / "copy"));
}

TEST_F(ShimTest, KeepsALineThatIsLongerThanAFile) {
  launch_.log_bytes = 1 << 20;
  launch_.log_files = 10;
  Run("head -c 5000000 /dev/zero | tr '\\0' 'x' | tee copy; echo; echo end");
  std::string all;
  for (int number = 9; number > 0; --number) {
    all += Log(absl::StrCat("stdout.log.", number));
  }
  all += Log("stdout.log");
  EXPECT_TRUE(all == Slurp(folder_ / "copy") + "\nend\n");
}

TEST_F(ShimTest, RotatesLogsAndKeepsTheNewestLines) {
  launch_.log_bytes = 1000;
  launch_.log_files = 3;
  Run("seq 1 1000");
  const std::string all =
      Log("stdout.log.2") + Log("stdout.log.1") + Log("stdout.log");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "logs/stdout.log.3"));
  EXPECT_LE(Log("stdout.log.1").size(), 1000u);
  EXPECT_GT(all.size(), 2000u);
  std::string expected;
  for (int i = 1; i <= 1000; ++i) absl::StrAppend(&expected, i, "\n");
  EXPECT_TRUE(absl::EndsWith(expected, "\n" + all)) << all;
}

TEST_F(ShimTest, RunsATaskOnce) {
  Run("echo once >> count");
  ChildProcess second = StartAgain();
  EXPECT_FALSE(second.Wait(kHang)->ok());
  EXPECT_EQ(Slurp(folder_ / "count"), "once\n");
  EXPECT_EQ(ReadExit(folder_.path())->kind, ExitRecord::Kind::kExited);
}

TEST_F(ShimTest, DoesNotRunATaskThatTheAgentHasGivenUp) {
  launch_.command = {"/bin/sh", "-c", "echo never > count"};
  ASSERT_TRUE(WriteLaunch(folder_.path(), launch_).ok());
  ASSERT_TRUE(TaskProcess::VoidUnclaimed(folder_.path()));
  ChildProcess shim = StartAgain();
  EXPECT_FALSE(shim.Wait(kHang)->ok());
  EXPECT_FALSE(std::filesystem::exists(folder_ / "count"));
}

TEST_F(ShimTest, ATaskDiesWithItsShimAndNothingIsLeftOfIt) {
  ChildProcess shim = Start(
      "setsid sh -c 'echo $$ > pid; while :; do sleep 0.01; done' & "
      "echo $$ > task; wait");
  const int task = Told("task");
  Told("pid");
  ASSERT_TRUE(shim.Signal(SIGKILL).ok());
  ASSERT_TRUE(shim.Wait(kHang).ok());
  EXPECT_TRUE(Eventually([&] { return !IsAlive(task); }));
  TaskProcess process = TaskProcess::Adopt(folder_.path());
  EXPECT_EQ(process.Look(), TaskProcess::State::kEnded);
  EXPECT_EQ(process.exit().kind, ExitRecord::Kind::kUnknown);
  EXPECT_THAT(process.exit().message, HasSubstr("its shim is gone"));
  EXPECT_TRUE(Eventually([&] { return FindByEnvironment(Mark()).empty(); }));
  EXPECT_EQ(ReadExit(folder_.path())->kind, ExitRecord::Kind::kUnknown);
}

}  // namespace
}  // namespace tfd::agent
