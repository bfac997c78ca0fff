#include "daemon/agent/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "common/child_process.h"
#include "common/unique_descriptor.h"
#include "tests/agent/agent_testing.h"

namespace tfd::agent {
namespace {

using ::testing::Contains;
using ::testing::Not;

ChildOptions Sleeper() {
  ChildOptions options;
  options.command = {"/bin/sleep", "1000"};
  options.environment = {{{"MARK_OF_THE_TEST", std::to_string(getpid())}}};
  return options;
}

TEST(ProcessTest, ReadsALineOfStatWhateverTheProgramIsCalled) {
  const auto stat = ParseProcessStat(
      "4711 (a) R 1 (b) c) S 17 4711 4710 34816 4711 4194304 94 0 0 0 0 0 0 0 "
      "20 0 1 0 987654 2605056 229 18446744073709551615 1 1 0 0 0\n");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->pid, 4711);
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->parent, 17);
  EXPECT_EQ(stat->group, 4711);
  EXPECT_EQ(stat->start_ticks, 987654u);
}

TEST(ProcessTest, RefusesWhatIsNoLineOfStat) {
  for (const char* line : {"", "1", "1 (a)", "1 (a) ", "1 (a) S 1 2", ") (",
                           "x (a) S 17 4711 4710 34816 4711 4194304 94 0 0 0 0 "
                           "0 0 0 20 0 1 0 987654 26"}) {
    EXPECT_FALSE(ParseProcessStat(line)) << line;
  }
}

TEST(ProcessTest, KnowsItself) {
  const auto self = ProcessId::Of(getpid());
  ASSERT_TRUE(self);
  EXPECT_TRUE(self->Alive());
  EXPECT_EQ(ReadProcessStat(getpid())->parent, getppid());
}

TEST(ProcessTest, AReusedPidIsAnotherProcess) {
  ProcessId self = *ProcessId::Of(getpid());
  self.start_ticks += 1;
  EXPECT_FALSE(self.Alive());
  EXPECT_EQ(OpenProcess(self), -1);
}

TEST(ProcessTest, TheSamePidBeforeABootIsAnotherProcess) {
  ProcessId self = *ProcessId::Of(getpid());
  self.boot_id = "another";
  EXPECT_FALSE(self.Alive());
  EXPECT_EQ(OpenProcess(self), -1);
}

TEST(ProcessTest, AProcessCanBeWaitedFor) {
  ChildProcess child = *ChildProcess::Start(Sleeper());
  const ProcessId id = *ProcessId::Of(child.pid());
  const UniqueDescriptor process(OpenProcess(id));
  ASSERT_TRUE(process.valid());
  pollfd watched{process.get(), POLLIN, 0};
  EXPECT_EQ(poll(&watched, 1, 0), 0);
  ASSERT_TRUE(child.Signal(SIGKILL).ok());
  EXPECT_EQ(poll(&watched, 1, 10'000), 1);
  EXPECT_FALSE(id.Alive()) << "a zombie is not alive";
}

TEST(ProcessTest, FindsChildrenOfChildren) {
  ChildOptions options;
  options.command = {"/bin/sh", "-c", "sleep 1000 & wait"};
  ChildProcess child = *ChildProcess::Start(options);
  std::vector<pid_t> below;
  ASSERT_TRUE(Eventually([&] {
    below = DescendantsOf(child.pid());
    return !below.empty();
  }));
  EXPECT_THAT(DescendantsOf(getpid()), Contains(child.pid()));
  EXPECT_THAT(DescendantsOf(getpid()), Contains(below.front()));
  EXPECT_THAT(DescendantsOf(child.pid()), Not(Contains(child.pid())));
  kill(below.front(), SIGKILL);
}

TEST(ProcessTest, FindsProcessesByTheirEnvironment) {
  ChildProcess child = *ChildProcess::Start(Sleeper());
  const std::string mark = "MARK_OF_THE_TEST=" + std::to_string(getpid());
  EXPECT_THAT(FindByEnvironment(mark), ::testing::ElementsAre(child.pid()));
  EXPECT_THAT(FindByEnvironment(mark + "x"), ::testing::IsEmpty());
}

}  // namespace
}  // namespace tfd::agent
