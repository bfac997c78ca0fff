// Real agent processes, killed and started again, at a coordinator in this one.
#include "daemon/agent/agent_process.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/child_process.h"
#include "common/net/channel.h"
#include "common/net/endpoint.h"
#include "common/testing/temp_folder.h"
#include "common/version.h"
#include "daemon/agent/process.h"
#include "tests/agent/agent_testing.h"
#include "tests/agent/fake_coordinator.h"

namespace tfd::agent {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kHang = absl::Seconds(30);

class AgentProcessTest : public ::testing::Test {
 protected:
  AgentProcessTest() {
    // The agent's programs are its siblings: a copy of it among scripts.
    std::filesystem::create_directories(folder_ / "bin");
    std::filesystem::copy_file(AgentProgram(), folder_ / "bin/tfd-agent");
    Script("tfd-worker", "exec sleep 1000");
    Script("tfd-ps", "exec sleep 1000");
    coordinator_ = std::make_unique<FakeCoordinator>(folder_ / "c");
    coordinator_->Start();
  }
  ~AgentProcessTest() override {
    // Whatever a test has left is stopped by a last agent.
    if (agent_) agent_->Stop(kHang);
    const size_t hellos = coordinator_->Hellos().size();
    StartAgent({"--stop-tasks-on-exit"});
    EXPECT_TRUE(
        Eventually([&] { return coordinator_->Hellos().size() > hellos; }));
    EXPECT_TRUE(agent_->Stop(kHang).ok()) << Slurp(folder_ / "agent.log");
    EXPECT_TRUE(Tasks().empty());
  }

  void Script(const std::string& name, const std::string& script) {
    Write(folder_ / ("bin/" + name), "#!/bin/sh\n" + script + "\n");
    chmod((folder_ / ("bin/" + name)).c_str(), 0755);
  }
  ChildOptions Command(const std::vector<std::string>& flags) {
    ChildOptions options;
    options.command = {folder_ / "bin/tfd-agent",
                       "--coordinator",
                       "unix:" + (folder_ / "c"),
                       "--state-dir",
                       folder_ / "state",
                       "--node",
                       "n1"};
    options.command.insert(options.command.end(), flags.begin(), flags.end());
    options.stderr_path = folder_ / "agent.log";
    options.dies_with_parent = true;
    return options;
  }
  void StartAgent(const std::vector<std::string>& flags = {}) {
    auto agent = ChildProcess::Start(Command(flags));
    ASSERT_TRUE(agent.ok()) << agent.status();
    agent_.emplace(*std::move(agent));
  }
  void KillAgent() {
    ASSERT_TRUE(agent_->Signal(SIGKILL).ok());
    ASSERT_TRUE(agent_->Wait(kHang).ok());
  }
  void Want(const std::vector<v1::TaskLaunch>& launches) {
    v1::DesiredState desired;
    for (const auto& launch : launches) *desired.add_tasks() = launch;
    coordinator_->SetDesired(desired);
  }
  v1::TaskReport Await(v1::TaskReport::Phase phase,
                       const std::string& task = "worker/0") {
    std::optional<v1::TaskReport> newest;
    EXPECT_TRUE(Eventually([&] {
      newest = coordinator_->Newest(task);
      return newest && newest->phase() == phase;
    })) << Slurp(folder_ / "agent.log");
    return newest.value_or(v1::TaskReport());
  }
  void AwaitHellos(size_t count) {
    ASSERT_TRUE(Eventually([&] {
      return coordinator_->Hellos().size() >= count;
    })) << Slurp(folder_ / "agent.log");
  }
  // How often it is in the agent's log.
  int Count(const std::string& text) const {
    const std::vector<std::string> parts =
        absl::StrSplit(Slurp(folder_ / "agent.log"), text);
    return static_cast<int>(parts.size()) - 1;
  }
  // Processes of tasks that still run.
  std::vector<pid_t> Tasks() const {
    std::vector<pid_t> tasks;
    for (const char* task : {"worker-0-g1", "worker-1-g1", "ps-0-g1"}) {
      const auto found = FindByEnvironment(
          absl::StrCat("TFD_EXIT_FILE=", folder_.path(), "/state/tasks/job/",
                       task, "/exit_message"));
      tasks.insert(tasks.end(), found.begin(), found.end());
    }
    return tasks;
  }
  std::string SocketFolder() const {
    const std::string path =
        coordinator_->Hellos().back().endpoint().unix_path();
    return std::filesystem::path(path).parent_path();
  }

  const tfd::testing::TempFolder folder_;
  std::unique_ptr<FakeCoordinator> coordinator_;
  std::optional<ChildProcess> agent_;
};

TEST_F(AgentProcessTest, IntroducesItself) {
  StartAgent({"--offer", "cpus=3,memory=5GiB"});
  AwaitHellos(1);
  const v1::AgentHello hello = coordinator_->Hellos()[0];
  EXPECT_EQ(hello.node(), "n1");
  EXPECT_EQ(hello.protocol_version(), kProtocolVersion);
  EXPECT_EQ(hello.version(), kVersion);
  EXPECT_EQ(hello.offered().cpus(), 3);
  EXPECT_EQ(hello.offered().memory_bytes(), uint64_t{5} << 30);
  EXPECT_EQ(hello.endpoint().host_id(), net::HostId());
  EXPECT_FALSE(hello.incarnation().empty());
  EXPECT_FALSE(hello.log_token().empty());
  EXPECT_THAT(hello.tasks(), ::testing::IsEmpty());
}

TEST_F(AgentProcessTest, StartsTasksReportsTheirEndsAndReadsTheirLogs) {
  Script("tfd-worker", "echo out of $TFD_TASK; echo err >&2; exit 3");
  StartAgent();
  Want({LaunchOf("job", "worker/0")});
  const v1::TaskReport report = Await(v1::TaskReport::ENDED);
  EXPECT_EQ(report.exit().code(), 3);
  EXPECT_THAT(report.exit().last_lines(), ::testing::ElementsAre("err"));

  const v1::AgentHello hello = coordinator_->Hellos()[0];
  const auto stub =
      v1::Agent::NewStub(net::Dial(*net::DialTarget(hello.endpoint())));
  grpc::ClientContext context;
  net::AddToken(context, hello.log_token());
  v1::ReadTaskLogsRequest request;
  request.set_job("job");
  request.set_task("worker/0");
  request.set_follow(true);
  const auto reader = stub->ReadTaskLogs(&context, request);
  v1::LogLines lines;
  ASSERT_TRUE(reader->Read(&lines));
  EXPECT_EQ(lines.text(), "out of worker/0\n");
  ASSERT_TRUE(reader->Read(&lines));
  EXPECT_EQ(lines.text(), "err\n");
  EXPECT_FALSE(reader->Read(&lines));
}

TEST_F(AgentProcessTest, AKilledAgentsTasksGoOnAndNoLineIsLost) {
  Script("tfd-worker",
         "i=0; while test $i -lt 300; do echo $i; i=$((i+1)); "
         "sleep 0.002; done; exit 6");
  StartAgent();
  Want({LaunchOf("job", "worker/0")});
  const int64_t pid = Await(v1::TaskReport::STARTED).pid();
  for (int kills = 0; kills < 3; ++kills) {
    KillAgent();
    StartAgent();
    AwaitHellos(2 + static_cast<size_t>(kills));
  }
  const v1::TaskReport report = Await(v1::TaskReport::ENDED);
  EXPECT_EQ(report.pid(), pid);
  EXPECT_EQ(report.exit().code(), 6);
  std::string expected;
  for (int i = 0; i < 300; ++i) absl::StrAppend(&expected, i, "\n");
  EXPECT_EQ(Slurp(folder_ / "state/logs/job/worker-0/stdout.log"), expected);
}

TEST_F(AgentProcessTest, ReportsWhatEndedWhileItWasGone) {
  Script("tfd-worker", absl::StrCat("while ! test -e ", folder_ / "go",
                                    "; do sleep 0.01; done; exit 8"));
  StartAgent();
  Want({LaunchOf("job", "worker/0")});
  Await(v1::TaskReport::STARTED);
  KillAgent();
  Write(folder_ / "go", "");
  ASSERT_TRUE(Eventually([&] { return Tasks().empty(); }));
  StartAgent();
  AwaitHellos(2);
  EXPECT_EQ(Await(v1::TaskReport::ENDED).exit().code(), 8);
}

TEST_F(AgentProcessTest, TasksGoOnWhileTheCoordinatorIsAway) {
  StartAgent({"--log-level", "debug"});
  Want({LaunchOf("job", "worker/0")});
  const auto pid = static_cast<pid_t>(Await(v1::TaskReport::STARTED).pid());
  coordinator_->Stop();
  // Some tries in vain.
  ASSERT_TRUE(Eventually([&] { return Count("still no coordinator") >= 2; }));
  EXPECT_TRUE(IsAlive(pid));
  coordinator_->Start();
  AwaitHellos(2);
  EXPECT_EQ(coordinator_->Hellos().back().tasks(0).pid(), pid);
  // It said so once, however often it tried.
  EXPECT_EQ(Count("no coordinator at"), 1);
}

TEST_F(AgentProcessTest, TermLetsTasksGoOnAndTheNextAgentHasThem) {
  StartAgent();
  Want({LaunchOf("job", "worker/0")});
  const auto pid = static_cast<pid_t>(Await(v1::TaskReport::STARTED).pid());
  const std::string sockets = SocketFolder();
  EXPECT_TRUE(agent_->Stop(kHang).ok());
  EXPECT_TRUE(IsAlive(pid));
  EXPECT_TRUE(std::filesystem::exists(sockets)) << "the task's sockets";
  StartAgent();
  AwaitHellos(2);
  EXPECT_EQ(coordinator_->Hellos()[1].tasks(0).pid(), pid);
  EXPECT_EQ(SocketFolder(), sockets);
}

TEST_F(AgentProcessTest, TermWithStopTasksLeavesNothing) {
  StartAgent({"--stop-tasks-on-exit"});
  Want({LaunchOf("job", "worker/0"),
        LaunchOf("job", "ps/0", 1, v1::TaskLaunch::PS)});
  const auto pid = static_cast<pid_t>(Await(v1::TaskReport::STARTED).pid());
  Await(v1::TaskReport::STARTED, "ps/0");
  const std::string sockets = SocketFolder();
  EXPECT_TRUE(agent_->Stop(kHang).ok());
  EXPECT_FALSE(IsAlive(pid));
  EXPECT_TRUE(Tasks().empty());
  EXPECT_FALSE(std::filesystem::exists(sockets));
  EXPECT_EQ(Await(v1::TaskReport::ENDED).exit().signal(), SIGTERM)
      << "the coordinator is still told";
}

TEST_F(AgentProcessTest, EndsWithItsParent) {
  ChildOptions options = Command({"--dies-with-parent"});
  // A parent that is killed while its child goes on.
  options.dies_with_parent = false;
  std::string command;
  for (const std::string& word : options.command) {
    absl::StrAppend(&command, "'", word, "' ");
  }
  ChildOptions parent;
  parent.command = {"/bin/sh", "-c",
                    absl::StrCat(command, "2>> ", folder_ / "agent.log",
                                 " & echo $! > ", folder_ / "pid", "; wait")};
  ChildProcess shell = *ChildProcess::Start(parent);
  AwaitHellos(1);
  const int agent = PidIn(folder_ / "pid");
  ASSERT_TRUE(IsAlive(agent));
  ASSERT_TRUE(shell.Signal(SIGKILL).ok());
  EXPECT_TRUE(Eventually([&] { return !IsAlive(agent); }));
}

TEST_F(AgentProcessTest, AnotherClusterStopsTheTasks) {
  StartAgent();
  Want({LaunchOf("job", "worker/0")});
  const auto pid = static_cast<pid_t>(Await(v1::TaskReport::STARTED).pid());
  coordinator_->Stop();
  coordinator_ = std::make_unique<FakeCoordinator>(folder_ / "c", "c2");
  coordinator_->Start();
  EXPECT_TRUE(Eventually([&] { return !IsAlive(pid); }));
  ASSERT_TRUE(Eventually([&] {
    return absl::StrContains(Slurp(folder_ / "agent.log"), "is of cluster c2");
  }));
}

TEST_F(AgentProcessTest, ASecondAgentOnTheFolderIsRefusedAndTheFirstNamed) {
  StartAgent();
  AwaitHellos(1);
  const auto second = RunToEnd(Command({}).command, "", kHang);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->exit.code, 2);
  EXPECT_THAT(second->errors,
              HasSubstr(absl::StrCat("pid ", agent_->pid(), " on ")));
}

TEST_F(AgentProcessTest, AWrongCommandLineSaysWhatToDo) {
  const std::string program = folder_ / "bin/tfd-agent";
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), program);
    const auto result = RunToEnd(arguments, "", kHang);
    EXPECT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->exit.code, 2);
    return result->errors;
  };
  EXPECT_THAT(run({}), HasSubstr("--coordinator"));
  EXPECT_THAT(run({"--coordinator", "nonsense", "--state-dir", "s"}),
              HasSubstr("nonsense"));
  EXPECT_THAT(run({"--coordinator", "h:1", "--state-dir", folder_ / "s",
                   "--offer", "cpus=many"}),
              HasSubstr("cpus=8,memory=32GiB"));
  EXPECT_THAT(run({"--coordinator", "h:1", "--state-dir", folder_ / "s",
                   "--socket-dir", folder_ / std::string(100, 'x')}),
              HasSubstr("shorter"));
  EXPECT_EQ(RunToEnd({program, "--version"}, "", kHang)->output,
            absl::StrCat(kVersion, "\n"));
}

}  // namespace
}  // namespace tfd::agent
