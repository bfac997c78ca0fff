#include "daemon/agent/launcher.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/match.h"
#include "common/task/environment.h"
#include "tests/agent/agent_testing.h"

namespace tfd::agent {
namespace {

Launcher MakeLauncher() {
  LauncherOptions options;
  options.state_folder = "/state";
  options.log_folder = "/logs";
  options.spool_folder = "/spool";
  options.socket_folder = "/tmp/tfd-abcdef";
  options.coordinator = "unix:/c.sock";
  return Launcher(std::move(options));
}

TEST(LauncherTest, SocketFoldersAreShortAndDiffer) {
  const Launcher launcher = MakeLauncher();
  EXPECT_EQ(launcher.SocketFolder("mnist-x1y2z3"),
            "/tmp/tfd-abcdef/mnist-x1y2z3");
  const std::string a = launcher.SocketFolder(std::string(60, 'a') + "-1");
  const std::string b = launcher.SocketFolder(std::string(60, 'a') + "-2");
  EXPECT_NE(a, b);
  EXPECT_EQ(a.size(), std::string("/tmp/tfd-abcdef/").size() + 24);
}

TEST(LauncherTest, OnlyAFeedGetsTheSpoolAndItsToken) {
  const Launcher launcher = MakeLauncher();
  const auto worker = TaskVariables(launcher, LaunchOf("job", "worker/0"),
                                    Key("job", "worker/0"));
  EXPECT_EQ(worker.count(kSpoolFolderVariable), 0u);
  EXPECT_EQ(worker.count(kFeedTokenFileVariable), 0u);
  const auto feed = TaskVariables(
      launcher, LaunchOf("job", "feed/0", 1, v1::TaskLaunch::FEED),
      Key("job", "feed/0"));
  EXPECT_EQ(feed.at(kSpoolFolderVariable), "/spool/job");
  EXPECT_EQ(feed.at(kFeedTokenFileVariable),
            "/state/tasks/job/feed-0-g1/feed_token");
}

TEST(LauncherTest, NothingElseOfTheAgentsEnvironmentReachesATask) {
  setenv("SECRET_OF_THE_AGENT", "x", 1);
  setenv("TZ", "Europe/Zurich", 1);
  const auto variables = TaskVariables(
      MakeLauncher(), LaunchOf("job", "worker/0"), Key("job", "worker/0"));
  unsetenv("SECRET_OF_THE_AGENT");
  unsetenv("TZ");
  EXPECT_EQ(variables.at("TZ"), "Europe/Zurich");
  for (const auto& [name, value] : variables) {
    EXPECT_TRUE(absl::StartsWith(name, "TFD_") ||
                absl::EndsWith(name, "_NUM_THREADS") || name == "PATH" ||
                name == "HOME" || name == "LANG" || name == "TZ" ||
                absl::StartsWith(name, "AWS_") || name == "JAVA_HOME")
        << name;
  }
}

TEST(LauncherTest, WhoMayReadRemoteFilesIsPassedOn) {
  setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
  const auto variables = TaskVariables(
      MakeLauncher(), LaunchOf("job", "worker/0"), Key("job", "worker/0"));
  unsetenv("AWS_ENDPOINT_URL");
  EXPECT_EQ(variables.at("AWS_ENDPOINT_URL"), "http://127.0.0.1:1");
}

TEST(LauncherTest, ATaskHasAtLeastOneThread) {
  v1::TaskLaunch launch = LaunchOf("job", "worker/0");
  launch.mutable_resources()->set_cpus(0.5);
  EXPECT_EQ(TaskVariables(MakeLauncher(), launch, Key("job", "worker/0"))
                .at("OMP_NUM_THREADS"),
            "1");
}

}  // namespace
}  // namespace tfd::agent
