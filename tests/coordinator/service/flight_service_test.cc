#include "daemon/coordinator/service/flight_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/status.h"
#include "tests/coordinator/testing/cluster.h"

namespace tfd::coordinator {
namespace {

namespace flight = arrow::flight::protocol;
using testing::FakeAgent;
using testing::FakeTask;
using ::testing::HasSubstr;
using testing::PushedSpec;
using testing::TestCoordinator;

class Flight : public ::testing::Test {
 protected:
  Flight() : stub_(flight::FlightService::NewStub(coordinator_.channel())) {}

  void Submit(int producers) {
    agent_ = std::make_unique<FakeAgent>("node-a", "first");
    agent_->Attach(coordinator_);
    const absl::StatusOr<v1::Job> job =
        coordinator_.Submit("j", PushedSpec(producers));
    ASSERT_TRUE(job.ok()) << job.status();
    const v1::DesiredState desired = agent_->WaitTasks(3);
    for (const v1::TaskLaunch& launch : desired.tasks()) {
      launches_[launch.task()] = launch;
    }
  }
  void AttachAll() {
    for (const auto& [name, launch] : launches_) {
      tasks_[name] = std::make_unique<FakeTask>(launch, 7);
      tasks_[name]->Attach(coordinator_);
    }
  }
  void Run(int producers) {
    Submit(producers);
    AttachAll();
    coordinator_.WaitForState("j", v1::RUNNING);
  }

  absl::StatusOr<flight::FlightInfo> GetInfo(
      const std::vector<std::string>& path,
      absl::Duration timeout = testing::kPatience) {
    grpc::ClientContext context;
    net::SetTimeout(context, timeout);
    flight::FlightDescriptor descriptor;
    descriptor.set_type(flight::FlightDescriptor::PATH);
    for (const std::string& part : path) descriptor.add_path(part);
    flight::FlightInfo info;
    const grpc::Status status =
        stub_->GetFlightInfo(&context, descriptor, &info);
    if (!status.ok()) return FromGrpc(status);
    return info;
  }

  absl::StatusOr<std::string> Act(const std::string& type,
                                  const std::string& body) {
    grpc::ClientContext context;
    net::SetTimeout(context, testing::kPatience);
    flight::Action action;
    action.set_type(type);
    action.set_body(body);
    const auto reader = stub_->DoAction(&context, action);
    flight::Result result;
    std::string answer;
    while (reader->Read(&result)) answer += result.body();
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return FromGrpc(status);
    return answer;
  }

  absl::Status Seal(const std::string& token, const std::string& partition,
                    const std::string& attempt, int64_t rows,
                    bool only_ask = false) {
    grpc::ClientContext context;
    net::SetTimeout(context, testing::kPatience);
    net::AddToken(context, token);
    v1::SealPartitionRequest request;
    request.set_job("j");
    request.set_dataset("train");
    request.set_generation(1);
    request.set_only_ask(only_ask);
    request.mutable_partition()->set_producer("p");
    request.mutable_partition()->set_partition(partition);
    request.mutable_partition()->set_attempt(attempt);
    request.mutable_partition()->set_rows(rows);
    request.mutable_partition()->set_feed("feed/0");
    v1::SealPartitionResponse response;
    return FromGrpc(v1::TaskLink::NewStub(coordinator_.channel())
                        ->SealPartition(&context, request, &response));
  }

  // What the feeds have said of their spools, up to an event of that kind.
  std::string NoticesUntil(const std::string& kind) {
    grpc::ClientContext context;
    net::SetTimeout(context, testing::kPatience);
    v1::ReadEventsRequest request;
    request.set_id("j");
    request.set_follow(true);
    const auto reader = coordinator_.stub().ReadEvents(&context, request);
    v1::Event event;
    std::string text;
    while (reader->Read(&event)) {
      if (event.kind().find("Spool") == 0 || event.kind() == kind) {
        absl::StrAppend(&text, event.task(), " ", event.kind(), " ",
                        event.message(), "\n");
      }
      if (event.kind() == kind) break;
    }
    context.TryCancel();
    reader->Finish();
    return text;
  }

  TestCoordinator coordinator_;
  std::unique_ptr<flight::FlightService::Stub> stub_;
  std::unique_ptr<FakeAgent> agent_;
  std::map<std::string, v1::TaskLaunch> launches_;
  std::map<std::string, std::unique_ptr<FakeTask>> tasks_;
};

constexpr char kKey[] = R"("job": "j", "dataset": "train", "producer": "p")";

TEST_F(Flight, EndpointsAreTheFeedsWithTheirToken) {
  Run(1);
  const absl::StatusOr<flight::FlightInfo> info =
      GetInfo({"jobs", "j", "train"});
  ASSERT_TRUE(info.ok()) << info.status();
  ASSERT_EQ(info->endpoint_size(), 1);
  EXPECT_EQ(info->endpoint(0).location(0).uri(), "grpc+tcp://127.0.0.1:feed/0");
  EXPECT_EQ(info->endpoint(0).ticket().ticket(),
            launches_["feed/0"].feed_token());
  EXPECT_FALSE(launches_["feed/0"].feed_token().empty());
  EXPECT_TRUE(launches_["worker/0"].feed_token().empty());
}

TEST_F(Flight, WaitsUntilTheJobRuns) {
  Submit(1);
  absl::StatusOr<flight::FlightInfo> info = absl::UnknownError("not asked");
  std::thread producer([&] { info = GetInfo({"jobs", "j", "train"}); });
  AttachAll();
  producer.join();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->endpoint_size(), 1);
}

TEST_F(Flight, SaysWhyItDidNotWaitLonger) {
  Submit(1);
  absl::StatusOr<flight::FlightInfo> info = absl::UnknownError("not asked");
  absl::Notification answered;
  std::thread producer([&] {
    info = GetInfo({"jobs", "j", "train"}, absl::InfiniteDuration());
    answered.Notify();
  });
  // Half a minute of the coordinator's time, with the agent's word in between.
  while (!answered.HasBeenNotified()) {
    agent_->Started(launches_["ps/0"], 1);
    coordinator_.Advance(absl::Seconds(2));
    coordinator_.Get("j").IgnoreError();
  }
  producer.join();
  EXPECT_TRUE(absl::IsUnavailable(info.status())) << info.status();
  EXPECT_THAT(std::string(info.status().message()),
              HasSubstr("not running yet: STARTING"));
}

TEST_F(Flight, UnknownNamesAreExplained) {
  Run(1);
  const auto job = GetInfo({"jobs", "k", "train"});
  EXPECT_TRUE(absl::IsNotFound(job.status())) << job.status();
  EXPECT_THAT(std::string(job.status().message()), HasSubstr("tfd submit"));
  const auto dataset = GetInfo({"jobs", "j", "test"});
  EXPECT_TRUE(absl::IsNotFound(dataset.status())) << dataset.status();
  EXPECT_TRUE(absl::IsInvalidArgument(GetInfo({"j", "train"}).status()));
}

TEST_F(Flight, AnEndedJobTakesNothing) {
  Run(1);
  ASSERT_TRUE(coordinator_.Cancel("j", "").ok());
  EXPECT_TRUE(
      absl::IsFailedPrecondition(GetInfo({"jobs", "j", "train"}).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      Act("begin", absl::StrCat("{", kKey, "}")).status()));
}

TEST_F(Flight, FromBeginToACompleteDataset) {
  Run(1);
  ASSERT_TRUE(Act("begin", absl::StrCat("{", kKey, "}")).ok());
  const std::string& token = launches_["feed/0"].token();
  EXPECT_TRUE(absl::IsUnauthenticated(Seal("wrong", "0", "a", 60)));
  EXPECT_TRUE(Seal(token, "0", "a", 60).ok());
  EXPECT_TRUE(Seal(token, "0", "a", 60).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Seal(token, "0", "b", 60)));
  const auto partitions = [](int rows) {
    return absl::StrCat("{", kKey,
                        R"(, "partitions": [{"partition": "0",
                            "attempt": "a", "rows": )",
                        rows, "}]}");
  };
  const auto wrong = Act("commit", partitions(61));
  EXPECT_TRUE(absl::IsFailedPrecondition(wrong.status()));
  EXPECT_THAT(std::string(wrong.status().message()),
              HasSubstr("has 60 rows, not 61"));
  // The journal keeps it all.
  coordinator_.Restart();
  stub_ = flight::FlightService::NewStub(coordinator_.channel());
  agent_->Attach(coordinator_, {testing::Running(launches_["ps/0"]),
                                testing::Running(launches_["worker/0"]),
                                testing::Running(launches_["feed/0"])});
  AttachAll();
  tasks_["worker/0"]->Wait(v1::TaskCommand::kMembership);
  const absl::StatusOr<std::string> committed = Act("commit", partitions(60));
  ASSERT_TRUE(committed.ok()) << committed.status();
  EXPECT_THAT(*committed, HasSubstr("\"complete\":true"));
  EXPECT_TRUE(Act("commit", partitions(60)).ok());
  const auto ready = tasks_["worker/0"]->Wait(v1::TaskCommand::kDataset);
  ASSERT_TRUE(ready.has_value());
  EXPECT_EQ(ready->dataset().partitions(0).rows(), 60);
  EXPECT_EQ(ready->dataset().partitions(0).feed(), "feed/0");
  // A task that attaches later gets it with the membership.
  tasks_["worker/0"]->Attach(coordinator_);
  const auto membership =
      tasks_["worker/0"]->Wait(v1::TaskCommand::kMembership);
  ASSERT_TRUE(membership.has_value());
  EXPECT_EQ(membership->membership().datasets_size(), 1);
  EXPECT_TRUE(coordinator_.Get("j")->datasets(0).complete());
  // Whoever has not heard of the end may say it all again, at any time.
  for (const bool ended : {false, true}) {
    if (ended) {
      ASSERT_TRUE(coordinator_.Cancel("j", "").ok());
    }
    EXPECT_TRUE(absl::IsAlreadyExists(
        Act("begin", absl::StrCat("{", kKey, "}")).status()));
    EXPECT_TRUE(Act("commit", partitions(60)).ok());
    EXPECT_TRUE(
        absl::IsFailedPrecondition(Act("commit", partitions(61)).status()));
  }
}

TEST_F(Flight, WhoOnlyAsksIsGrantedNothing) {
  Run(1);
  const std::string& token = launches_["feed/0"].token();
  EXPECT_TRUE(
      absl::IsFailedPrecondition(Seal(token, "0", "a", 0, /*only_ask=*/true)));
  ASSERT_TRUE(Act("begin", absl::StrCat("{", kKey, "}")).ok());
  EXPECT_TRUE(Seal(token, "0", "a", 0, /*only_ask=*/true).ok());
  EXPECT_TRUE(Seal(token, "0", "b", 60).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Seal(token, "0", "a", 0, true)));
  EXPECT_TRUE(Seal(token, "0", "b", 0, true).ok());
  EXPECT_THAT(*Act("status", absl::StrCat("{", kKey, "}")),
              HasSubstr("\"rows\":\"60\""));
}

TEST_F(Flight, AnAbortDropsWhatWasSent) {
  Run(1);
  ASSERT_TRUE(Act("begin", absl::StrCat("{", kKey, "}")).ok());
  ASSERT_TRUE(Seal(launches_["feed/0"].token(), "0", "a", 60).ok());
  const auto aborted = Act("abort", absl::StrCat("{", kKey, "}"));
  ASSERT_TRUE(aborted.ok()) << aborted.status();
  EXPECT_THAT(*aborted, HasSubstr("\"rows\":\"0\""));
  // What is still on its way does not bring the producer back.
  EXPECT_TRUE(absl::IsFailedPrecondition(
      Seal(launches_["feed/0"].token(), "0", "a", 60)));
  ASSERT_TRUE(Act("begin", absl::StrCat("{", kKey, "}")).ok());
  EXPECT_TRUE(Seal(launches_["feed/0"].token(), "0", "b", 6).ok());
  EXPECT_THAT(*Act("status", absl::StrCat("{", kKey, "}")),
              HasSubstr("\"rows\":\"6\""));
}

TEST_F(Flight, AFeedHearsOfAnAbortAndLearnsWhatIsVoid) {
  Run(1);
  const std::string& token = launches_["feed/0"].token();
  const auto review = [&](const std::string& producer, uint64_t generation) {
    grpc::ClientContext context;
    net::SetTimeout(context, testing::kPatience);
    net::AddToken(context, token);
    v1::ReviewAttemptsRequest request;
    request.set_job("j");
    request.set_generation(generation);
    for (const std::string attempt : {"0/a", "0/b", "1/c"}) {
      v1::Attempt& asked = *request.add_attempts();
      asked.set_dataset("train");
      asked.set_producer(producer);
      asked.set_partition(attempt.substr(0, 1));
      asked.set_attempt(attempt.substr(2));
    }
    v1::ReviewAttemptsResponse response;
    const auto stub = v1::TaskLink::NewStub(coordinator_.channel());
    const grpc::Status status =
        stub->ReviewAttempts(&context, request, &response);
    std::string text = status.ok() ? "" : std::string(status.error_message());
    for (const int standing : response.standings()) {
      absl::StrAppend(&text,
                      v1::ReviewAttemptsResponse::Standing_Name(standing), " ");
    }
    return text;
  };
  ASSERT_TRUE(Act("begin", absl::StrCat("{", kKey, "}")).ok());
  ASSERT_TRUE(Seal(token, "0", "a", 60).ok());
  EXPECT_EQ(review("p", 1), "SEALED VOID OPEN ");
  EXPECT_EQ(review("nobody", 1), "VOID VOID VOID ");
  // Whoever is not current must not drop anything.
  EXPECT_THAT(review("p", 2), HasSubstr("is stale"));
  ASSERT_TRUE(Act("abort", absl::StrCat("{", kKey, "}")).ok());
  const auto told = tasks_["feed/0"]->Wait(v1::TaskCommand::kProducerAborted);
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->producer_aborted().dataset(), "train");
  EXPECT_EQ(told->producer_aborted().producer(), "p");
  EXPECT_EQ(review("p", 1), "VOID VOID VOID ");
  ASSERT_TRUE(Act("begin", absl::StrCat("{", kKey, "}")).ok());
  EXPECT_EQ(review("p", 1), "OPEN OPEN OPEN ");
}

TEST_F(Flight, ANoticeOfAFeedIsAnEventOfItsJob) {
  Run(1);
  v1::TaskMessage message;
  message.mutable_spool_notice()->set_kind(v1::SpoolNotice::DISK_FULL);
  message.mutable_spool_notice()->set_message("make room");
  // Not that of a task that has no spool.
  tasks_["worker/0"]->Send(message);
  tasks_["feed/0"]->Send(message);
  message.mutable_spool_notice()->set_kind(v1::SpoolNotice::DATA_DROPPED);
  message.mutable_spool_notice()->set_message("of p");
  tasks_["feed/0"]->Send(message);
  EXPECT_EQ(
      NoticesUntil("UnsealedDataDropped"),
      "feed/0 SpoolDiskFull make room\nfeed/0 UnsealedDataDropped of p\n");
}

TEST_F(Flight, ActionsAreListed) {
  grpc::ClientContext context;
  const auto reader = stub_->ListActions(&context, flight::Empty());
  flight::ActionType type;
  std::string names;
  while (reader->Read(&type)) names += type.type() + " ";
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(names, "begin commit abort status ");
}

TEST_F(Flight, WhoWaitsWhenTheCoordinatorStopsIsToldSo) {
  Submit(1);
  absl::StatusOr<flight::FlightInfo> info = absl::UnknownError("not asked");
  std::thread producer([&] { info = GetInfo({"jobs", "j", "train"}); });
  coordinator_.Stop();
  producer.join();
  EXPECT_FALSE(info.ok());
}

}  // namespace
}  // namespace tfd::coordinator
