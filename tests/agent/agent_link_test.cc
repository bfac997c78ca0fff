#include "daemon/agent/agent_link.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>

#include "common/testing/temp_folder.h"
#include "tests/agent/agent_testing.h"
#include "tests/agent/fake_coordinator.h"

namespace tfd::agent {
namespace {

class AgentLinkTest : public ::testing::Test {
 protected:
  void StartLink() {
    AgentLinkOptions options;
    options.coordinator = "unix:" + (folder_ / "c");
    options.hello = [this] {
      v1::AgentHello hello;
      hello.set_node("n" + std::to_string(++hellos_));
      return hello;
    };
    options.on_welcome = [this](const v1::AgentWelcome& welcome) {
      EXPECT_EQ(welcome.cluster_id(), "c1");
      ++welcomes_;
    };
    options.on_desired = [this](v1::DesiredState desired) {
      tasks_ = desired.tasks_size();
    };
    options.first_retry = absl::Milliseconds(1);
    options.longest_retry = absl::Milliseconds(20);
    link_ = std::make_unique<AgentLink>(std::move(options));
    link_->Start();
  }
  static v1::TaskReport Report(const std::string& task) {
    v1::TaskReport report;
    report.set_task(task);
    return report;
  }

  const tfd::testing::TempFolder folder_;
  FakeCoordinator coordinator_{folder_ / "c"};
  std::atomic<int> hellos_ = 0;
  std::atomic<int> welcomes_ = 0;
  std::atomic<int> tasks_ = -1;
  std::unique_ptr<AgentLink> link_;
};

TEST_F(AgentLinkTest, SaysHelloAndTakesTheDesiredState) {
  coordinator_.Start();
  StartLink();
  ASSERT_TRUE(Eventually([&] { return tasks_ == 0; }));
  EXPECT_EQ(welcomes_, 1);
  v1::DesiredState desired;
  *desired.add_tasks() = LaunchOf("job", "ps/0");
  coordinator_.SetDesired(desired);
  EXPECT_TRUE(Eventually([&] { return tasks_ == 1; }));
  EXPECT_EQ(coordinator_.Hellos().size(), 1u);
}

TEST_F(AgentLinkTest, SendsHeartbeatsAsOftenAsItIsTold) {
  coordinator_.Start();
  StartLink();
  EXPECT_TRUE(Eventually([&] { return coordinator_.Heartbeats() >= 5; }));
}

TEST_F(AgentLinkTest, ReportsInOrder) {
  coordinator_.Start();
  StartLink();
  ASSERT_TRUE(Eventually([&] { return welcomes_ == 1; }));
  for (int i = 0; i < 50; ++i) link_->Report(Report(std::to_string(i)));
  ASSERT_TRUE(Eventually([&] { return coordinator_.Reports().size() == 50; }));
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(coordinator_.Reports()[i].task(), std::to_string(i));
  }
}

TEST_F(AgentLinkTest, WaitsForACoordinatorThatIsNotThereYet) {
  StartLink();
  // Some tries in vain.
  ASSERT_TRUE(Eventually([&] { return hellos_ >= 3; }));
  coordinator_.Start();
  EXPECT_TRUE(Eventually([&] { return welcomes_ == 1; }));
}

TEST_F(AgentLinkTest, SaysHelloAgainToARestartedCoordinator) {
  coordinator_.Start();
  StartLink();
  for (int restarts = 1; restarts < 4; ++restarts) {
    ASSERT_TRUE(Eventually([&] { return welcomes_ == restarts; }));
    coordinator_.Stop();
    link_->Report(Report("lost, for the next hello knows it"));
    coordinator_.Start();
  }
  ASSERT_TRUE(Eventually([&] { return welcomes_ == 4; }));
}

TEST_F(AgentLinkTest, KeepsTryingWhenItIsRefused) {
  coordinator_.Refuse(
      grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "another protocol"));
  coordinator_.Start();
  StartLink();
  ASSERT_TRUE(Eventually([&] { return coordinator_.Hellos().size() >= 3; }));
  EXPECT_EQ(welcomes_, 0);
  coordinator_.Refuse(grpc::Status::OK);
  EXPECT_TRUE(Eventually([&] { return welcomes_ == 1; }));
}

TEST_F(AgentLinkTest, StoppingLetsTheLastReportLeave) {
  coordinator_.Start();
  StartLink();
  ASSERT_TRUE(Eventually([&] { return welcomes_ == 1; }));
  for (int i = 0; i < 100; ++i) link_->Report(Report("a task"));
  link_->Stop(absl::Seconds(30));
  EXPECT_TRUE(Eventually([&] { return coordinator_.Reports().size() == 100; }));
}

TEST_F(AgentLinkTest, StopsAtOnceWhileItIsConnecting) {
  StartLink();
  ASSERT_TRUE(Eventually([&] { return hellos_ >= 1; }));
  link_->Stop(absl::Seconds(30));
}

}  // namespace
}  // namespace tfd::agent
