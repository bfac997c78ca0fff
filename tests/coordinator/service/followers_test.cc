#include "daemon/coordinator/service/followers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/status.h"
#include "tests/coordinator/testing/cluster.h"

namespace tfd::coordinator {
namespace {

using ::testing::ElementsAre;
using testing::FakeAgent;
using ::testing::HasSubstr;
using testing::Spec;
using testing::TestCoordinator;

class Followers : public ::testing::Test {
 protected:
  std::vector<v1::Event> Events(uint64_t from, bool follow) {
    grpc::ClientContext context;
    net::SetTimeout(context, testing::kPatience);
    v1::ReadEventsRequest request;
    request.set_id("j");
    request.set_from_sequence(from);
    request.set_follow(follow);
    const auto reader = coordinator_.stub().ReadEvents(&context, request);
    std::vector<v1::Event> events;
    v1::Event event;
    while (reader->Read(&event)) events.push_back(event);
    end_ = FromGrpc(reader->Finish());
    return events;
  }

  std::string Logs(const std::string& task, bool follow) {
    grpc::ClientContext context;
    net::SetTimeout(context, testing::kPatience);
    v1::ReadLogsRequest request;
    request.set_id("j");
    request.set_task(task);
    request.set_follow(follow);
    const auto reader = coordinator_.stub().ReadLogs(&context, request);
    std::string text;
    v1::LogLines lines;
    while (reader->Read(&lines)) {
      text += lines.task() + "|" + lines.text();
    }
    end_ = FromGrpc(reader->Finish());
    return text;
  }

  TestCoordinator coordinator_;
  absl::Status end_;
};

TEST_F(Followers, EventsAreReadFromASequenceNumberOn) {
  ASSERT_TRUE(coordinator_.Submit("j", Spec(1, 0)).ok());
  const std::vector<v1::Event> all = Events(0, false);
  EXPECT_TRUE(end_.ok()) << end_;
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].kind(), "JobSubmitted");
  EXPECT_EQ(all[1].kind(), "JobQueued");
  EXPECT_EQ(all[0].job(), "j");
  EXPECT_GT(all[1].sequence(), all[0].sequence());
  const std::vector<v1::Event> later = Events(all[1].sequence(), false);
  ASSERT_EQ(later.size(), 1u);
  EXPECT_EQ(later[0].kind(), "JobQueued");
}

TEST_F(Followers, FollowedEventsEndWithTheJob) {
  ASSERT_TRUE(coordinator_.Submit("j", Spec(1, 0)).ok());
  std::vector<v1::Event> events;
  std::thread follower([&] { events = Events(0, true); });
  FakeAgent agent("node-a", "first");
  agent.Attach(coordinator_);
  agent.WaitTasks(2);
  ASSERT_TRUE(coordinator_.Cancel("j", "enough").ok());
  follower.join();
  EXPECT_TRUE(end_.ok()) << end_;
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[2].kind(), "GangPlaced");
  EXPECT_EQ(events[3].kind(), "JobCancelled");
  EXPECT_EQ(events[3].message(), "cancelled: enough");
}

TEST_F(Followers, AWatchEndsAfterTheTerminalState) {
  ASSERT_TRUE(coordinator_.Submit("j", Spec(1, 0)).ok());
  grpc::ClientContext context;
  net::SetTimeout(context, testing::kPatience);
  v1::WatchJobRequest request;
  request.set_id("j");
  const auto reader = coordinator_.stub().WatchJob(&context, request);
  v1::Job job;
  ASSERT_TRUE(reader->Read(&job));
  EXPECT_EQ(job.state(), v1::QUEUED);
  EXPECT_EQ(job.spec().name(), "test");
  ASSERT_TRUE(coordinator_.Cancel("j", "").ok());
  std::vector<v1::JobState> states;
  while (reader->Read(&job)) states.push_back(job.state());
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_THAT(states, ElementsAre(v1::CANCELLED));
}

TEST_F(Followers, UnknownJobsAreNotFollowed) {
  EXPECT_TRUE(Events(0, true).empty());
  EXPECT_TRUE(absl::IsNotFound(end_)) << end_;
  EXPECT_EQ(Logs("", true), "");
  EXPECT_TRUE(absl::IsNotFound(end_)) << end_;
}

TEST_F(Followers, JobsAreListedNewestFirst) {
  v1::JobSpec other = Spec(1, 0);
  other.mutable_storage()->set_uri("/runs/other");
  ASSERT_TRUE(coordinator_.Submit("first", Spec(1, 0)).ok());
  ASSERT_TRUE(coordinator_.Submit("second", other).ok());
  ASSERT_TRUE(coordinator_.Cancel("first", "").ok());
  const auto list = [this](bool active) {
    grpc::ClientContext context;
    v1::ListJobsRequest request;
    request.set_active_only(active);
    v1::ListJobsResponse response;
    EXPECT_TRUE(
        coordinator_.stub().ListJobs(&context, request, &response).ok());
    std::vector<std::string> ids;
    for (const v1::Job& job : response.jobs()) {
      EXPECT_FALSE(job.has_spec());
      ids.push_back(job.id());
    }
    return ids;
  };
  EXPECT_THAT(list(false), ElementsAre("second", "first"));
  EXPECT_THAT(list(true), ElementsAre("second"));
}

TEST_F(Followers, LogsComeFromTheAgentsWithTheirTask) {
  FakeAgent agent("node-a", "first");
  agent.logs["ps/0"] = {"one\n", "two\n"};
  agent.logs["worker/0"] = {"three\n"};
  agent.Attach(coordinator_);
  ASSERT_TRUE(coordinator_.Submit("j", Spec(1, 0)).ok());
  agent.WaitTasks(2);
  EXPECT_EQ(Logs("ps/0", false), "ps/0|one\nps/0|two\n");
  EXPECT_TRUE(end_.ok()) << end_;
  const std::string all = Logs("", false);
  EXPECT_THAT(all, HasSubstr("ps/0|two\n"));
  EXPECT_THAT(all, HasSubstr("worker/0|three\n"));
  Logs("worker/9", false);
  EXPECT_TRUE(absl::IsNotFound(end_)) << end_;
  EXPECT_THAT(std::string(end_.message()), HasSubstr("ps/0, worker/0"));
}

TEST_F(Followers, FollowedLogsWaitForTheJobToBePlaced) {
  ASSERT_TRUE(coordinator_.Submit("j", Spec(1, 0)).ok());
  std::string text;
  std::thread follower([&] { text = Logs("worker/0", true); });
  FakeAgent agent("node-a", "first");
  agent.logs["worker/0"] = {"hello\n"};
  agent.Attach(coordinator_);
  follower.join();
  EXPECT_EQ(text, "worker/0|hello\n");
}

TEST_F(Followers, ManyLinesArriveInOrderThroughASlowReader) {
  FakeAgent agent("node-a", "first");
  for (int i = 0; i < 3000; ++i) {
    agent.logs["ps/0"].push_back(std::to_string(i) + "\n");
  }
  agent.Attach(coordinator_);
  ASSERT_TRUE(coordinator_.Submit("j", Spec(1, 0)).ok());
  agent.WaitTasks(2);
  const std::string text = Logs("ps/0", false);
  std::string expected;
  for (int i = 0; i < 3000; ++i) {
    expected += "ps/0|" + std::to_string(i) + "\n";
  }
  EXPECT_EQ(text, expected);
}

TEST_F(Followers, AnUnreachableNodeIsNamedAtTheEnd) {
  {
    FakeAgent agent("node-a", "first");
    agent.Attach(coordinator_);
    ASSERT_TRUE(coordinator_.Submit("j", Spec(1, 0)).ok());
    agent.WaitTasks(2);
  }
  Logs("ps/0", false);
  EXPECT_TRUE(absl::IsUnavailable(end_)) << end_;
  EXPECT_THAT(std::string(end_.message()), HasSubstr("ps/0 on node-a"));
}

TEST_F(Followers, AReaderThatLeavesHarmsNobody) {
  FakeAgent agent("node-a", "first");
  agent.logs["ps/0"] = std::vector<std::string>(1000, std::string(5000, 'x'));
  agent.Attach(coordinator_);
  ASSERT_TRUE(coordinator_.Submit("j", Spec(1, 0)).ok());
  agent.WaitTasks(2);
  for (int i = 0; i < 10; ++i) {
    grpc::ClientContext context;
    v1::ReadLogsRequest request;
    request.set_id("j");
    const auto reader = coordinator_.stub().ReadLogs(&context, request);
    v1::LogLines lines;
    ASSERT_TRUE(reader->Read(&lines));
    context.TryCancel();
    reader->Finish();
  }
  EXPECT_EQ(coordinator_.Get("j")->id(), "j");
}

}  // namespace
}  // namespace tfd::coordinator
