#include "common/task/coordinator_link.h"

#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/net/server.h"
#include "common/status.h"
#include "common/task/outbox.h"
#include "common/testing/temp_folder.h"
#include "tfd/v1/task.grpc.pb.h"

namespace tfd {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Far more than any of these tests takes; only a failure waits for it.
constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr char kToken[] = "secret";

// "hello worker/0", "saved 10": what a message is, in a word.
std::string Describe(const v1::TaskMessage& message) {
  using Message = v1::TaskMessage;
  switch (message.message_case()) {
    case Message::kHello:
      return "hello " + message.hello().task();
    case Message::kHeartbeat:
      return "heartbeat";
    case Message::kMetrics:
      return "metrics " + std::to_string(message.metrics().step());
    case Message::kShardSaved:
      return "saved " + std::to_string(message.shard_saved().step());
    case Message::kManifestWritten:
      return "manifest";
    case Message::kEvaluated:
      return "evaluated " + std::to_string(message.evaluated().step());
    case Message::kExported:
      return "exported";
    case Message::kPlan:
      return "plan " + std::to_string(message.plan().total_steps());
    case Message::kDone:
      return "done";
    case Message::kSpoolNotice:
      return "notice";
    case Message::MESSAGE_NOT_SET:
      break;
  }
  return "nothing";
}

// A coordinator that notes what it hears and says what it is told to. Streams
// come one after another.
class FakeCoordinator : public v1::TaskLink::Service {
 public:
  using Stream = grpc::ServerReaderWriter<v1::TaskCommand, v1::TaskMessage>;

  grpc::Status Attach(grpc::ServerContext* context, Stream* stream) override {
    const absl::Status allowed = net::CheckToken(*context, kToken);
    if (!allowed.ok()) return ToGrpc(allowed);
    v1::TaskMessage message;
    if (!stream->Read(&message)) return grpc::Status::OK;
    Note(message);
    {
      absl::MutexLock lock(&mutex_);
      if (!refusal_.ok()) return ToGrpc(refusal_);
      v1::TaskCommand welcome;
      *welcome.mutable_welcome() = welcome_;
      // Under the lock, because a stream takes one write at a time.
      stream->Write(welcome);
      stream_ = stream;
    }
    while (Proceed() && stream->Read(&message)) Note(message);
    absl::MutexLock lock(&mutex_);
    stream_ = nullptr;
    return grpc::Status::OK;
  }

  grpc::Status SealPartition(grpc::ServerContext* context,
                             const v1::SealPartitionRequest* request,
                             v1::SealPartitionResponse*) override {
    const absl::Status allowed = net::CheckToken(*context, kToken);
    if (!allowed.ok()) return ToGrpc(allowed);
    absl::MutexLock lock(&mutex_);
    sealed_.push_back(request->partition().attempt());
    if (seal_answers_.empty()) return grpc::Status::OK;
    const absl::Status answer = seal_answers_.front();
    seal_answers_.pop_front();
    return ToGrpc(answer);
  }

  // Before the first stream.
  v1::TaskWelcome welcome_;

  void Refuse(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    refusal_ = std::move(status);
  }
  void AnswerSeals(std::deque<absl::Status> answers) {
    absl::MutexLock lock(&mutex_);
    seal_answers_ = std::move(answers);
  }
  std::vector<std::string> sealed() {
    absl::MutexLock lock(&mutex_);
    return sealed_;
  }
  // Takes in nothing after this message, until told to go on (with "").
  void StallAfter(const std::string& last) {
    absl::MutexLock lock(&mutex_);
    stall_after_ = last;
  }
  void Tell(const v1::TaskCommand& command) {
    absl::MutexLock lock(&mutex_);
    const auto attached = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stream_ != nullptr;
    };
    ASSERT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&attached), kPatience));
    stream_->Write(command);
  }

  // Waits until it has heard this much; all it has heard.
  std::vector<std::string> Hear(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return heard_.size() >= count;
    };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience));
    return heard_;
  }
  void HearUntil(const std::string& last) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !heard_.empty() && heard_.back() == last;
    };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience));
  }
  std::vector<std::string> heard() { return Hear(0); }
  void Forget() {
    absl::MutexLock lock(&mutex_);
    heard_.clear();
  }

 private:
  bool Proceed() {
    absl::MutexLock lock(&mutex_);
    const auto go = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stall_after_.empty() || heard_.back() != stall_after_;
    };
    return mutex_.AwaitWithTimeout(absl::Condition(&go), kPatience);
  }
  void Note(const v1::TaskMessage& message) {
    absl::MutexLock lock(&mutex_);
    if (!message.has_heartbeat() || welcome_.heartbeat_interval_ms() > 0) {
      heard_.push_back(Describe(message));
    }
  }

  absl::Mutex mutex_;
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  std::deque<absl::Status> seal_answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> sealed_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> heard_ ABSL_GUARDED_BY(mutex_);
  Stream* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::string stall_after_ ABSL_GUARDED_BY(mutex_);
};

// What the link called back.
class Callbacks {
 public:
  void Command(const v1::TaskCommand& command) {
    absl::MutexLock lock(&mutex_);
    commands_.push_back(command);
  }
  void Lost(const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    lost_.push_back(status);
  }
  std::vector<v1::TaskCommand> WaitForCommands(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return commands_.size() >= count;
    };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience));
    return commands_;
  }
  absl::Status WaitForLost() {
    absl::MutexLock lock(&mutex_);
    const auto there = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !lost_.empty();
    };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience));
    return lost_.empty() ? absl::OkStatus() : lost_.front();
  }
  size_t lost_count() {
    absl::MutexLock lock(&mutex_);
    return lost_.size();
  }

 private:
  absl::Mutex mutex_;
  std::vector<v1::TaskCommand> commands_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Status> lost_ ABSL_GUARDED_BY(mutex_);
};

class CoordinatorLinkTest : public ::testing::Test {
 protected:
  CoordinatorLinkTest() {
    options_.coordinator = "unix:" + (folder_ / "c.sock");
    options_.token = kToken;
    options_.hello.set_task("worker/0");
    options_.hello.set_job("mnist");
    options_.on_command = [this](const v1::TaskCommand& command) {
      callbacks_.Command(command);
    };
    options_.on_lost = [this](const absl::Status& status) {
      callbacks_.Lost(status);
    };
  }
  ~CoordinatorLinkTest() override {
    coordinator_.StallAfter("");
    link_.reset();
    server_.reset();
    if (fixed_window_server_ != nullptr) {
      fixed_window_server_->Shutdown(std::chrono::system_clock::now());
    }
  }

  void StartServer() {
    net::ServerOptions options;
    options.tcp = "";
    options.unix_path = folder_ / "c.sock";
    auto server = net::Server::Start(options, {&coordinator_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  // One whose streams' window stays as small as it begins.
  void StartServerWithFixedWindow() {
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    builder.AddListeningPort(options_.coordinator,
                             grpc::InsecureServerCredentials());
    builder.RegisterService(&coordinator_);
    fixed_window_server_ = builder.BuildAndStart();
    ASSERT_NE(fixed_window_server_, nullptr);
  }
  void Restart() {
    server_.reset();
    StartServer();
  }
  void StartLink() { link_ = CoordinatorLink::Start(options_); }

  // The coordinator, one of a fixed window, takes in no more; what the link
  // sends from now on stays in its queue, behind a message larger than that.
  void StopListening() {
    coordinator_.StallAfter("plan 1");
    SendPlan(1);
    coordinator_.HearUntil("plan 1");
    constexpr size_t kLargerThanTheWindow = 1 << 20;
    v1::TaskMessage large;
    large.mutable_exported()->set_uri(std::string(kLargerThanTheWindow, 'x'));
    link_->Send(large);
  }

  void SendMetrics(int64_t step) {
    v1::TaskMessage message;
    message.mutable_metrics()->set_step(step);
    link_->Send(message);
  }
  void SendSaved(int64_t step) {
    v1::TaskMessage message;
    message.mutable_shard_saved()->set_step(step);
    link_->Send(message);
  }
  void SendPlan(int64_t steps) {
    v1::TaskMessage message;
    message.mutable_plan()->set_total_steps(steps);
    link_->Send(message);
  }
  void SendDone() {
    v1::TaskMessage message;
    message.mutable_done();
    link_->Send(message);
  }

  testing::TempFolder folder_;
  FakeCoordinator coordinator_;
  Callbacks callbacks_;
  CoordinatorLinkOptions options_;
  std::unique_ptr<net::Server> server_;
  std::unique_ptr<grpc::Server> fixed_window_server_;
  std::unique_ptr<CoordinatorLink> link_;
};

TEST_F(CoordinatorLinkTest, SaysHelloFirstAndThenWhatItIsGiven) {
  StartServer();
  StartLink();
  SendPlan(100);
  SendSaved(10);
  SendDone();
  EXPECT_THAT(coordinator_.Hear(4),
              ElementsAre("hello worker/0", "plan 100", "saved 10", "done"));
}

TEST_F(CoordinatorLinkTest, CommandsArriveInOrderAndWelcomeIsKept) {
  StartServer();
  StartLink();
  for (int64_t step : {1, 2, 3}) {
    v1::TaskCommand command;
    command.mutable_evaluate()->mutable_checkpoint()->set_step(step);
    coordinator_.Tell(command);
  }
  const auto commands = callbacks_.WaitForCommands(3);
  ASSERT_EQ(commands.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(commands[i].evaluate().checkpoint().step(), i + 1);
  }
}

TEST_F(CoordinatorLinkTest, HeartbeatsGoAtTheIntervalOfTheWelcome) {
  coordinator_.welcome_.set_heartbeat_interval_ms(1);
  StartServer();
  StartLink();
  EXPECT_THAT(coordinator_.Hear(4),
              ::testing::IsSupersetOf({"heartbeat", "heartbeat", "heartbeat"}));
}

TEST_F(CoordinatorLinkTest, WaitsForACoordinatorThatIsNotThereYet) {
  StartLink();
  SendPlan(7);
  StartServer();
  EXPECT_THAT(coordinator_.Hear(2), ElementsAre("hello worker/0", "plan 7"));
}

TEST_F(CoordinatorLinkTest, AfterAReconnectHelloAndTheRetainedAreSentAgain) {
  StartServer();
  StartLink();
  SendPlan(100);
  SendSaved(10);
  SendMetrics(11);
  SendSaved(20);
  // Metrics may have been dropped, before the stream was up.
  coordinator_.HearUntil("saved 20");
  coordinator_.Forget();
  Restart();
  SendDone();
  EXPECT_THAT(coordinator_.Hear(5),
              ElementsAre("hello worker/0", "plan 100", "saved 10", "saved 20",
                          "done"));
  EXPECT_EQ(callbacks_.lost_count(), 0u);
}

TEST_F(CoordinatorLinkTest, CommittedShardsAreNotSentAgain) {
  StartServer();
  StartLink();
  SendSaved(10);
  SendSaved(20);
  coordinator_.HearUntil("saved 20");
  v1::TaskCommand command;
  command.mutable_committed()->add_checkpoints()->set_step(10);
  coordinator_.Tell(command);
  callbacks_.WaitForCommands(1);
  coordinator_.Forget();
  Restart();
  EXPECT_THAT(coordinator_.Hear(2), ElementsAre("hello worker/0", "saved 20"));
}

TEST_F(CoordinatorLinkTest, AStaleGenerationEndsTheLinkAtOnceAndOnce) {
  StartServer();
  coordinator_.Refuse(absl::FailedPreconditionError("generation 1 is stale"));
  StartLink();
  const absl::Status lost = callbacks_.WaitForLost();
  EXPECT_TRUE(absl::IsFailedPrecondition(lost)) << lost;
  EXPECT_THAT(std::string(lost.message()),
              AllOf(HasSubstr("generation 1 is stale"), HasSubstr("worker/0"),
                    HasSubstr(options_.coordinator)));
  EXPECT_TRUE(absl::IsFailedPrecondition(link_->Close(kPatience)));
  EXPECT_EQ(callbacks_.lost_count(), 1u);
}

TEST_F(CoordinatorLinkTest, AWrongTokenEndsTheLink) {
  StartServer();
  options_.token = "wrong";
  StartLink();
  EXPECT_TRUE(absl::IsUnauthenticated(callbacks_.WaitForLost()));
}

TEST_F(CoordinatorLinkTest, ACoordinatorThatStaysAwayIsGivenUpAfterPatience) {
  options_.patience = absl::Milliseconds(20);
  StartLink();
  const absl::Status lost = callbacks_.WaitForLost();
  EXPECT_TRUE(absl::IsUnavailable(lost)) << lost;
  EXPECT_THAT(std::string(lost.message()), HasSubstr(options_.coordinator));
}

TEST_F(CoordinatorLinkTest, TheWelcomesPatienceReplacesTheOptions) {
  options_.patience = absl::Hours(1);
  coordinator_.welcome_.set_patience_ms(20);
  StartServer();
  StartLink();
  SendDone();
  coordinator_.HearUntil("done");
  server_.reset();
  EXPECT_TRUE(absl::IsUnavailable(callbacks_.WaitForLost()));
}

TEST_F(CoordinatorLinkTest, CloseFlushesAllThatWasSent) {
  StartServer();
  StartLink();
  for (int64_t step = 0; step < 500; ++step) SendSaved(step);
  SendDone();
  EXPECT_TRUE(link_->Close(kPatience).ok());
  const auto heard = coordinator_.heard();
  EXPECT_EQ(heard.size(), 502u);
  EXPECT_EQ(heard.back(), "done");
  EXPECT_EQ(callbacks_.lost_count(), 0u);
}

TEST_F(CoordinatorLinkTest, CloseOutlastsARestartOfTheCoordinator) {
  StartServer();
  StartLink();
  SendPlan(3);
  coordinator_.HearUntil("plan 3");
  server_.reset();
  coordinator_.Forget();
  SendDone();
  StartServer();
  EXPECT_TRUE(link_->Close(kPatience).ok());
  EXPECT_THAT(coordinator_.heard(),
              ElementsAre("hello worker/0", "plan 3", "done"));
}

TEST_F(CoordinatorLinkTest, CloseGivesUpOnACoordinatorThatIsAway) {
  StartLink();
  SendDone();
  const absl::Status status = link_->Close(absl::Milliseconds(20));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(options_.coordinator));
  EXPECT_EQ(callbacks_.lost_count(), 0u);
}

TEST_F(CoordinatorLinkTest, CloseGivesUpOnACoordinatorThatDoesNotListen) {
  StartServerWithFixedWindow();
  StartLink();
  StopListening();
  EXPECT_TRUE(absl::IsDeadlineExceeded(link_->Close(absl::Milliseconds(20))));
}

TEST_F(CoordinatorLinkTest, BeyondTheBoundMetricsAreDroppedAndNothingElse) {
  StartServerWithFixedWindow();
  StartLink();
  StopListening();
  constexpr size_t kMany = 10 * internal::Outbox::kMaxQueued;
  for (size_t step = 0; step < kMany; ++step) {
    SendMetrics(static_cast<int64_t>(step));
  }
  SendDone();
  coordinator_.StallAfter("");
  EXPECT_TRUE(link_->Close(kPatience).ok());
  const auto heard = coordinator_.heard();
  // Besides: hello, the two of StopListening and done.
  EXPECT_LE(heard.size(), internal::Outbox::kMaxQueued + 4);
  EXPECT_EQ(heard.back(), "done");
  EXPECT_EQ(heard[heard.size() - 2], "metrics " + std::to_string(kMany - 1));
  EXPECT_THAT(heard, ::testing::Contains("exported"));
}

TEST_F(CoordinatorLinkTest, ALinkCanGoAtAnyMoment) {
  StartLink();
  SendDone();
  link_.reset();
  StartServer();
  StartLink();
  coordinator_.Hear(1);
  link_.reset();
  EXPECT_EQ(callbacks_.lost_count(), 0u);
}

v1::SealPartitionRequest Seal(const std::string& attempt) {
  v1::SealPartitionRequest request;
  request.mutable_partition()->set_producer("spark");
  request.mutable_partition()->set_partition("p7");
  request.mutable_partition()->set_attempt(attempt);
  return request;
}

TEST_F(CoordinatorLinkTest, ASealIsRetriedUntilTheCoordinatorAnswers) {
  StartServer();
  StartLink();
  coordinator_.AnswerSeals(
      {absl::UnavailableError("starting"), absl::UnavailableError("starting")});
  EXPECT_TRUE(link_->SealPartition(Seal("a"), kPatience).ok());
  EXPECT_THAT(coordinator_.sealed(), ElementsAre("a", "a", "a"));
}

TEST_F(CoordinatorLinkTest, ASealThatIsRefusedIsNotRetried) {
  StartServer();
  StartLink();
  coordinator_.AnswerSeals({absl::AlreadyExistsError("attempt b has it")});
  const absl::Status status = link_->SealPartition(Seal("a"), kPatience);
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_THAT(coordinator_.sealed(), ElementsAre("a"));
}

TEST_F(CoordinatorLinkTest, ASealNamesWhomItWaitedForWhenTimeIsUp) {
  StartLink();
  const absl::Status status =
      link_->SealPartition(Seal("a"), absl::Milliseconds(20));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(options_.coordinator), HasSubstr("p7"),
                    HasSubstr("spark")));
}

}  // namespace
}  // namespace tfd
