#include "daemon/agent/task_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/testing/temp_folder.h"
#include "daemon/agent/process.h"
#include "daemon/agent/task_folder.h"
#include "tests/agent/agent_testing.h"

namespace tfd::agent {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kManagerHang = absl::Seconds(30);

class TaskManagerTest : public ::testing::Test {
 protected:
  TaskManagerTest() { Restart(); }
  ~TaskManagerTest() override {
    if (manager_ != nullptr) {
      EXPECT_TRUE(manager_->StopAll(kManagerHang).ok());
    }
  }

  // A task's program is a script; tests choose it by the program's name.
  void Script(v1::TaskLaunch::Program program, const std::string& script) {
    Write(ScriptPath(program), script);
  }
  std::string ScriptPath(v1::TaskLaunch::Program program) const {
    return folder_ / absl::StrCat("script", static_cast<int>(program));
  }

  void Restart() {
    manager_.reset();
    TaskManagerOptions options;
    options.launcher.state_folder = folder_ / "state";
    options.launcher.log_folder = folder_ / "logs";
    options.launcher.spool_folder = folder_ / "spool";
    options.launcher.socket_folder = folder_ / "sockets";
    options.launcher.coordinator = "unix:/c.sock";
    for (const auto program : programs_) {
      options.launcher.programs[program] = {"/bin/sh", ScriptPath(program)};
    }
    options.launcher.shim_command = {AgentProgram(), "shim"};
    options.launcher.grace = absl::Milliseconds(200);
    options.on_report = [this](const v1::TaskReport& report) {
      if (on_report_) on_report_(report);
      const absl::MutexLock lock(&mutex_);
      news_.push_back(report);
    };
    auto manager = TaskManager::Start(std::move(options));
    ASSERT_TRUE(manager.ok()) << manager.status();
    manager_ = *std::move(manager);
  }

  void Want(const std::vector<v1::TaskLaunch>& launches,
            const std::string& cluster = "c1") {
    manager_->SetCluster(cluster);
    v1::DesiredState desired;
    for (const v1::TaskLaunch& launch : launches) {
      *desired.add_tasks() = launch;
    }
    manager_->SetDesired(std::move(desired));
  }

  // The report of the only task, once it has come to `phase`.
  v1::TaskReport Await(v1::TaskReport::Phase phase) {
    v1::TaskReport found;
    EXPECT_TRUE(Eventually([&] {
      const auto reports = manager_->Reports();
      if (reports.size() != 1 || reports[0].phase() != phase) return false;
      found = reports[0];
      return true;
    })) << absl::StrCat(manager_->Reports().size(), " reports");
    return found;
  }
  void AwaitNothing() {
    EXPECT_TRUE(Eventually([&] { return manager_->Reports().empty(); }));
  }
  int TaskPid() {
    return static_cast<int>(Await(v1::TaskReport::STARTED).pid());
  }
  std::string TaskFolder(const std::string& name = "worker-0-g1") const {
    return folder_ / ("state/tasks/job/" + name);
  }
  std::vector<v1::TaskReport> News() {
    const absl::MutexLock lock(&mutex_);
    return news_;
  }

  const tfd::testing::TempFolder folder_;
  std::vector<v1::TaskLaunch::Program> programs_ = {v1::TaskLaunch::PS,
                                                    v1::TaskLaunch::WORKER};
  // On the manager's thread; set before a Restart.
  std::function<void(const v1::TaskReport&)> on_report_;
  absl::Mutex mutex_;
  std::vector<v1::TaskReport> news_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<TaskManager> manager_;
};

constexpr auto kWorker = v1::TaskLaunch::WORKER;
constexpr char kSleep[] = "exec sleep 1000";

TEST_F(TaskManagerTest, StartsATaskAndReportsItsEnd) {
  Script(kWorker, "echo one; echo two >&2; echo why > $TFD_EXIT_FILE; exit 4");
  Want({LaunchOf("job", "worker/0")});
  const v1::TaskReport report = Await(v1::TaskReport::ENDED);
  EXPECT_EQ(report.job(), "job");
  EXPECT_EQ(report.task(), "worker/0");
  EXPECT_EQ(report.generation(), 1u);
  EXPECT_GT(report.pid(), 0);
  EXPECT_GT(report.ended_at_ms(), 0);
  EXPECT_EQ(report.exit().kind(), v1::ExitCause::EXITED);
  EXPECT_EQ(report.exit().code(), 4);
  EXPECT_EQ(report.exit().message(), "why\n");
  EXPECT_THAT(report.exit().last_lines(), ElementsAre("two"));
  EXPECT_FALSE(manager_->IsAlive(Key("job", "worker/0")));
}

TEST_F(TaskManagerTest, ReportsLinesOfStdoutWhereStderrIsEmpty) {
  Script(kWorker, "seq 1 30; exit 1");
  Want({LaunchOf("job", "worker/0")});
  const v1::TaskReport report = Await(v1::TaskReport::ENDED);
  ASSERT_EQ(report.exit().last_lines_size(), 20);
  EXPECT_EQ(report.exit().last_lines(0), "11");
}

TEST_F(TaskManagerTest, TellsEachChangeOnce) {
  Script(kWorker, kSleep);
  Want({LaunchOf("job", "worker/0")});
  TaskPid();
  Want({LaunchOf("job", "worker/0")});
  Want({});
  AwaitNothing();
  const auto news = News();
  ASSERT_EQ(news.size(), 2u);
  EXPECT_EQ(news[0].phase(), v1::TaskReport::STARTED);
  EXPECT_EQ(news[1].phase(), v1::TaskReport::ENDED);
  EXPECT_EQ(news[1].exit().signal(), SIGTERM);
}

TEST_F(TaskManagerTest, TellsFirstOfTheOneThatEndedFirst) {
  const auto until = [&](const std::string& file) {
    return absl::StrCat("while ! test -e ", folder_ / file,
                        "; do sleep 0.01; done; exit 1");
  };
  Script(v1::TaskLaunch::FEED, "true");
  Script(v1::TaskLaunch::PS, until("second"));
  Script(kWorker, until("first"));
  programs_.push_back(v1::TaskLaunch::FEED);
  // While the manager tells of the feed's end both others end.
  absl::Notification feed_ended;
  absl::Notification both_ended;
  on_report_ = [&](const v1::TaskReport& report) {
    if (report.task() != "feed/0" || !report.has_exit()) return;
    feed_ended.Notify();
    both_ended.WaitForNotification();
  };
  Restart();
  Want({LaunchOf("job", "ps/0", 1, v1::TaskLaunch::PS),
        LaunchOf("job", "worker/0"),
        LaunchOf("job", "feed/0", 1, v1::TaskLaunch::FEED)});
  ASSERT_TRUE(feed_ended.WaitForNotificationWithTimeout(kManagerHang));
  const auto shim_ended = [&](const std::string& name) {
    const auto record = ReadShim(TaskFolder(name));
    return record.ok() && !record->shim.Alive();
  };
  Write(folder_ / "first", "");
  EXPECT_TRUE(Eventually([&] { return shim_ended("worker-0-g1"); }));
  Write(folder_ / "second", "");
  EXPECT_TRUE(Eventually([&] { return shim_ended("ps-0-g1"); }));
  both_ended.Notify();
  ASSERT_TRUE(Eventually([&] { return manager_->AliveTasks() == 0; }));
  std::vector<std::string> ends;
  for (const v1::TaskReport& report : News()) {
    if (report.has_exit()) ends.push_back(report.task());
  }
  EXPECT_THAT(ends, ElementsAre("feed/0", "worker/0", "ps/0"));
}

TEST_F(TaskManagerTest, GivesTheTaskItsFilesAndEnvironment) {
  Script(kWorker,
         "env | sort; cat $TFD_TOKEN_FILE $TFD_SPEC_FILE; "
         "stat -c %a $TFD_TOKEN_FILE; test -d $TFD_SOCKET_FOLDER && pwd");
  v1::TaskLaunch launch = LaunchOf("job", "worker/0", 3);
  launch.mutable_resources()->set_cpus(2.5);
  Want({launch});
  Await(v1::TaskReport::ENDED);
  const std::string out = Slurp(folder_ / "logs/job/worker-0/stdout.log");
  const std::string folder = TaskFolder("worker-0-g3");
  EXPECT_THAT(
      out,
      AllOf(HasSubstr("TFD_COORDINATOR=unix:/c.sock\n"),
            HasSubstr("TFD_JOB=job\n"), HasSubstr("TFD_TASK=worker/0\n"),
            HasSubstr("TFD_GENERATION=3\n"),
            HasSubstr(absl::StrCat("TFD_EXIT_FILE=", folder, "/exit_message")),
            HasSubstr(absl::StrCat("TFD_SOCKET_FOLDER=", folder_.path(),
                                   "/sockets/job\n")),
            HasSubstr("OMP_NUM_THREADS=2\n"),
            HasSubstr("OPENBLAS_NUM_THREADS=2\n"),
            HasSubstr("MKL_NUM_THREADS=2\n"),
            HasSubstr(absl::StrCat("a tokena spec400\n", folder, "\n"))));
  EXPECT_THAT(out, ::testing::Not(HasSubstr("TFD_FEED_TOKEN_FILE")));
}

TEST_F(TaskManagerTest, NeverRestartsATaskThatEnded) {
  Script(kWorker, absl::StrCat("echo run >> ", folder_ / "runs"));
  Want({LaunchOf("job", "worker/0")});
  Await(v1::TaskReport::ENDED);
  Want({LaunchOf("job", "worker/0")});
  Restart();
  Want({LaunchOf("job", "worker/0")});
  Want({LaunchOf("job", "worker/0", 2)});
  EXPECT_TRUE(Eventually([&] {
    const auto reports = manager_->Reports();
    return reports.size() == 1 && reports[0].generation() == 2 &&
           reports[0].phase() == v1::TaskReport::ENDED;
  }));
  EXPECT_EQ(Slurp(folder_ / "runs"), "run\nrun\n");
}

TEST_F(TaskManagerTest, StopsWhatIsNoLongerListedAndCleansUpAfterTheJob) {
  Script(kWorker, kSleep);
  Want({LaunchOf("job", "worker/0")});
  const int pid = TaskPid();
  EXPECT_TRUE(manager_->IsAlive(Key("job", "worker/0", 7)));
  Want({});
  AwaitNothing();
  EXPECT_FALSE(IsAlive(pid));
  EXPECT_TRUE(Eventually([&] {
    return !std::filesystem::exists(folder_ / "state/tasks/job") &&
           !std::filesystem::exists(folder_ / "sockets/job") &&
           !std::filesystem::exists(folder_ / "spool/job");
  }));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "logs/job/worker-0"));
}

TEST_F(TaskManagerTest, SaysWhatCouldNotBeStarted) {
  Want({LaunchOf("job", "worker/0", 1, v1::TaskLaunch::FEED)});
  v1::TaskReport report = Await(v1::TaskReport::ENDED);
  EXPECT_EQ(report.exit().kind(), v1::ExitCause::START_FAILED);
  EXPECT_THAT(report.exit().message(), HasSubstr("FEED"));
  Want({});
  AwaitNothing();

  // The script is there, the shell's script is not.
  Want({LaunchOf("job", "worker/1")});
  report = Await(v1::TaskReport::ENDED);
  EXPECT_NE(report.exit().code(), 0);
}

TEST_F(TaskManagerTest, RefusesNamesThatAreNoNames) {
  Want({LaunchOf("../job", "worker/0")});
  ASSERT_TRUE(Eventually([&] { return !News().empty(); }));
  EXPECT_EQ(News()[0].job(), "../job");
  EXPECT_EQ(News()[0].exit().kind(), v1::ExitCause::START_FAILED);
  EXPECT_THAT(manager_->Reports(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(folder_ / "state/job"));
}

TEST_F(TaskManagerTest, AdoptsWhatRuns) {
  Script(kWorker, kSleep);
  Want({LaunchOf("job", "worker/0")});
  const int pid = TaskPid();
  Restart();
  EXPECT_EQ(Await(v1::TaskReport::STARTED).pid(), pid);
  EXPECT_TRUE(manager_->IsAlive(Key("job", "worker/0")));
  Want({LaunchOf("job", "worker/0")});
  EXPECT_TRUE(IsAlive(pid));
  Want({});
  AwaitNothing();
  EXPECT_FALSE(IsAlive(pid));
}

TEST_F(TaskManagerTest, KnowsHowATaskEndedWhileThereWasNoAgent) {
  Script(kWorker, absl::StrCat("while ! test -e ", folder_ / "go",
                               "; do sleep 0.01; done; echo bye >&2; exit 9"));
  Want({LaunchOf("job", "worker/0")});
  TaskPid();
  manager_.reset();
  Write(folder_ / "go", "");
  ASSERT_TRUE(Eventually([&] { return ReadExit(TaskFolder()).ok(); }));
  Restart();
  const auto reports = manager_->Reports();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].phase(), v1::TaskReport::ENDED);
  EXPECT_EQ(reports[0].exit().code(), 9);
  EXPECT_THAT(reports[0].exit().last_lines(), ElementsAre("bye"));
}

TEST_F(TaskManagerTest, SaysThatAShimIsGone) {
  Script(kWorker, kSleep);
  Want({LaunchOf("job", "worker/0")});
  const int pid = TaskPid();
  kill(ReadShim(TaskFolder())->shim.pid, SIGKILL);
  const v1::TaskReport report = Await(v1::TaskReport::ENDED);
  EXPECT_THAT(report.exit().message(), HasSubstr("its shim is gone"));
  EXPECT_TRUE(Eventually([&] { return !IsAlive(pid); }));
}

TEST_F(TaskManagerTest, SaysThatAShimWasKilledWhileThereWasNoAgent) {
  Script(kWorker, kSleep);
  Want({LaunchOf("job", "worker/0")});
  TaskPid();
  const ShimRecord record = *ReadShim(TaskFolder());
  manager_.reset();
  kill(record.shim.pid, SIGKILL);
  ASSERT_TRUE(Eventually([&] { return !record.shim.Alive(); }));
  Restart();
  ASSERT_EQ(manager_->Reports().size(), 1u);
  EXPECT_THAT(manager_->Reports()[0].exit().message(),
              HasSubstr("its shim is gone"));
  EXPECT_TRUE(Eventually([&] { return !record.task.Alive(); }));
}

TEST_F(TaskManagerTest, DoesNotAdoptAnotherProcessWithThePidOfAShim) {
  Script(kWorker, kSleep);
  Want({LaunchOf("job", "worker/0")});
  TaskPid();
  const ShimRecord record = *ReadShim(TaskFolder());
  manager_.reset();
  kill(record.shim.pid, SIGKILL);
  ASSERT_TRUE(Eventually([&] { return !record.shim.Alive(); }));
  // This very process, as if it had got the number.
  ShimRecord reused = record;
  reused.shim = *ProcessId::Of(getpid());
  reused.shim.start_ticks += 1;
  ASSERT_EQ(unlink((TaskFolder() + "/shim.json").c_str()), 0);
  ASSERT_TRUE(ClaimTask(TaskFolder(), reused).ok());
  Restart();
  ASSERT_EQ(manager_->Reports().size(), 1u);
  EXPECT_EQ(manager_->Reports()[0].phase(), v1::TaskReport::ENDED);
}

TEST_F(TaskManagerTest, StartsAfreshWhatAnAgentHadOnlyPrepared) {
  manager_.reset();
  std::filesystem::create_directories(TaskFolder());
  std::filesystem::create_directories(TaskFolder("worker-1-g1"));
  Launch launch;
  launch.cluster = "c1";
  launch.command = {"/bin/false"};
  ASSERT_TRUE(WriteLaunch(TaskFolder(), launch).ok());
  Restart();
  EXPECT_THAT(manager_->Reports(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(TaskFolder()));
  EXPECT_FALSE(std::filesystem::exists(TaskFolder("worker-1-g1")));
  Script(kWorker, "echo ran");
  Want({LaunchOf("job", "worker/0")});
  EXPECT_EQ(Await(v1::TaskReport::ENDED).exit().code(), 0);
}

TEST_F(TaskManagerTest, StopsTheTasksOfAnotherCluster) {
  Script(kWorker, kSleep);
  Want({LaunchOf("job", "worker/0")});
  const int pid = TaskPid();
  manager_->SetCluster("c2");
  AwaitNothing();
  EXPECT_FALSE(IsAlive(pid));
  // Also after a restart, and where the other cluster has one of that name.
  Want({LaunchOf("job", "worker/0")}, "c2");
  const int second = TaskPid();
  Restart();
  Want({LaunchOf("job", "worker/0")}, "c1");
  ASSERT_TRUE(Eventually([&] {
    const auto reports = manager_->Reports();
    return reports.size() == 1 && reports[0].pid() != second &&
           reports[0].phase() == v1::TaskReport::STARTED;
  }));
  EXPECT_FALSE(IsAlive(second));
}

TEST_F(TaskManagerTest, StopAllStopsAllAndStartsNothing) {
  Script(kWorker, kSleep);
  Script(v1::TaskLaunch::PS,
         "trap '' TERM; echo $$ > pid; while :; do sleep 0.01; done");
  Want({LaunchOf("job", "worker/0"),
        LaunchOf("job", "ps/0", 1, v1::TaskLaunch::PS)});
  ASSERT_TRUE(Eventually([&] {
    return News().size() == 2 && PidIn(TaskFolder("ps-0-g1") + "/pid") != 0;
  }));
  EXPECT_TRUE(manager_->StopAll(kManagerHang).ok());
  EXPECT_EQ(manager_->AliveTasks(), 0);
  Want({LaunchOf("job", "worker/1")});
  EXPECT_TRUE(manager_->StopAll(kManagerHang).ok());
  EXPECT_EQ(manager_->Reports().size(), 2u);
}

TEST_F(TaskManagerTest, AShimThatEndsBeforeItsTaskStartsIsAFailureToStart) {
  // As on a machine whose libraries are broken.
  manager_.reset();
  TaskManagerOptions options;
  options.launcher.state_folder = folder_ / "state";
  options.launcher.log_folder = folder_ / "logs";
  options.launcher.spool_folder = folder_ / "spool";
  options.launcher.socket_folder = folder_ / "sockets";
  options.launcher.programs[kWorker] = {"/bin/true"};
  options.launcher.shim_command = {"/bin/sh", "-c",
                                   "echo no libraries >&2; exit 1"};
  options.on_report = [](const v1::TaskReport&) {};
  manager_ = *TaskManager::Start(std::move(options));
  Want({LaunchOf("job", "worker/0")});
  const v1::TaskReport report = Await(v1::TaskReport::ENDED);
  EXPECT_EQ(report.exit().kind(), v1::ExitCause::START_FAILED);
  EXPECT_THAT(report.exit().message(), HasSubstr("no libraries"));
}

}  // namespace
}  // namespace tfd::agent
