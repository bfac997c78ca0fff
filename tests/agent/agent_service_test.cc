#include "daemon/agent/agent_service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/net/channel.h"
#include "common/net/server.h"
#include "common/testing/temp_folder.h"
#include "daemon/agent/log_file.h"
#include "tests/agent/agent_testing.h"

namespace tfd::agent {
namespace {

constexpr char kToken[] = "the token";

class AgentServiceTest : public ::testing::Test {
 protected:
  AgentServiceTest()
      : service_({folder_ / "logs", kToken, [this](const TaskKey& key) {
                    return alive_ && key.Task() == "worker/0";
                  }}) {
    std::filesystem::create_directories(folder_ / "logs/job/worker-0");
    net::ServerOptions options;
    options.tcp = "";
    options.unix_path = folder_ / "agent";
    server_ = *net::Server::Start(options, {&service_});
    stub_ = v1::Agent::NewStub(net::Dial("unix:" + options.unix_path));
  }
  ~AgentServiceTest() override {
    service_.Stop();
    server_->Stop();
  }

  std::string Path(const std::string& name) const {
    return folder_ / ("logs/job/worker-0/" + name);
  }
  static v1::ReadTaskLogsRequest Request(const std::string& task = "worker/0") {
    v1::ReadTaskLogsRequest request;
    request.set_job("job");
    request.set_task(task);
    return request;
  }
  // What comes, as "stream:text"; the status is checked.
  std::string Read(const v1::ReadTaskLogsRequest& request,
                   grpc::StatusCode expected = grpc::StatusCode::OK,
                   const std::string& token = kToken) {
    grpc::ClientContext context;
    net::AddToken(context, token);
    const auto reader = stub_->ReadTaskLogs(&context, request);
    v1::LogLines lines;
    std::string all;
    while (reader->Read(&lines)) {
      EXPECT_EQ(lines.task(), request.task());
      absl::StrAppend(&all, v1::LogLines::Stream_Name(lines.stream()), ":",
                      lines.text());
    }
    EXPECT_EQ(reader->Finish().error_code(), expected);
    return all;
  }

  const tfd::testing::TempFolder folder_;
  std::atomic<bool> alive_ = false;
  AgentService service_;
  std::unique_ptr<net::Server> server_;
  std::unique_ptr<v1::Agent::Stub> stub_;
};

TEST_F(AgentServiceTest, SendsBothStreamsOfATaskThatEnded) {
  Write(Path("stdout.log.1"), "1\n");
  Write(Path("stdout.log"), "2\nunfinished");
  Write(Path("stderr.log"), "e\xff\n");
  EXPECT_EQ(Read(Request()),
            "STDOUT:1\nSTDERR:e\xff\nSTDOUT:2\nSTDOUT:unfinished");
}

TEST_F(AgentServiceTest, SendsTheTailOfEachStream) {
  Write(Path("stdout.log"), "1\n2\n3\n");
  Write(Path("stderr.log"), "a\nb\nc\n");
  v1::ReadTaskLogsRequest request = Request();
  request.set_tail(2);
  EXPECT_EQ(Read(request), "STDOUT:2\n3\nSTDERR:b\nc\n");
}

TEST_F(AgentServiceTest, RefusesAWrongToken) {
  Write(Path("stdout.log"), "1\n");
  EXPECT_EQ(Read(Request(), grpc::StatusCode::UNAUTHENTICATED, "another"), "");
  EXPECT_EQ(Read(Request(), grpc::StatusCode::UNAUTHENTICATED, ""), "");
}

TEST_F(AgentServiceTest, DoesNotLeaveTheLogFolder) {
  Write(folder_ / "stdout.log", "secret\n");
  std::filesystem::create_directories(folder_ / "x-0");
  Write(folder_ / "x-0/stdout.log", "secret\n");
  for (const char* task : {"../..", "worker/0/..", "../../x/0", "..", ""}) {
    EXPECT_EQ(Read(Request(task), grpc::StatusCode::INVALID_ARGUMENT), "");
  }
  v1::ReadTaskLogsRequest request = Request("x/0");
  request.set_job("..");
  EXPECT_EQ(Read(request, grpc::StatusCode::INVALID_ARGUMENT), "");
}

TEST_F(AgentServiceTest, KnowsNoLogsOfATaskThatWasNeverHere) {
  EXPECT_EQ(Read(Request("worker/7"), grpc::StatusCode::NOT_FOUND), "");
}

TEST_F(AgentServiceTest, FollowsUntilTheTaskEndsAndAllIsSent) {
  alive_ = true;
  LogFile log(Path("stdout.log"), 100, 50);
  ASSERT_TRUE(log.Open().ok());
  log.Write("first\n");
  std::string expected = "first\n";
  grpc::ClientContext context;
  net::AddToken(context, kToken);
  v1::ReadTaskLogsRequest request = Request();
  request.set_follow(true);
  const auto reader = stub_->ReadTaskLogs(&context, request);
  v1::LogLines lines;
  ASSERT_TRUE(reader->Read(&lines));
  std::string text = lines.text();
  for (int i = 0; i < 200; ++i) {
    const std::string line = absl::StrCat("line ", i, "\n");
    log.Write(line);
    expected += line;
  }
  ASSERT_TRUE(reader->Read(&lines));
  text += lines.text();
  log.Write("last, without an end");
  expected += "last, without an end";
  alive_ = false;
  while (reader->Read(&lines)) text += lines.text();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(text, expected);
}

TEST_F(AgentServiceTest, AReaderThatStandsStillHoldsNobodyBack) {
  Write(Path("stdout.log"), std::string(64 << 20, 'x'));
  grpc::ClientContext context;
  net::AddToken(context, kToken);
  const auto stuck = stub_->ReadTaskLogs(&context, Request());
  v1::LogLines lines;
  ASSERT_TRUE(stuck->Read(&lines));
  v1::ReadTaskLogsRequest tail = Request();
  tail.set_tail(1);
  Write(Path("stderr.log"), "e\n");
  std::filesystem::remove(Path("stdout.log"));
  EXPECT_EQ(Read(tail), "STDERR:e\n");
  context.TryCancel();
}

TEST_F(AgentServiceTest, FollowersEndWhenTheAgentDoes) {
  alive_ = true;
  Write(Path("stdout.log"), "1\n");
  grpc::ClientContext context;
  net::AddToken(context, kToken);
  v1::ReadTaskLogsRequest request = Request();
  request.set_follow(true);
  const auto reader = stub_->ReadTaskLogs(&context, request);
  v1::LogLines lines;
  ASSERT_TRUE(reader->Read(&lines));
  service_.Stop();
  EXPECT_FALSE(reader->Read(&lines));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace tfd::agent
