// The feed's service over real gRPC, with a client as any producer is one.
#include "data/feed/feed_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/net/channel.h"
#include "common/net/endpoint.h"
#include "common/net/server.h"
#include "common/status.h"
#include "common/testing/temp_folder.h"
#include "data/dataset.h"
#include "tests/data/arrow_messages.h"

namespace tfd::data {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
namespace flight = arrow::flight::protocol;

constexpr char kToken[] = "feed-token";
constexpr char kJobToken[] = "job-token";
constexpr absl::Duration kDeadline = absl::Seconds(60);

// Grants a partition to the first attempt that asks for it.
class FakeCoordinator {
 public:
  absl::Status Seal(const v1::SealPartitionRequest& request) {
    absl::MutexLock lock(&mutex_);
    if (!answer_.ok()) return answer_;
    const v1::Partition& partition = request.partition();
    const std::string name = partition.producer() + "/" + partition.partition();
    if (!request.only_ask()) sealed_.emplace(name, request);
    const auto entry = sealed_.find(name);
    if (entry != sealed_.end() &&
        entry->second.partition().attempt() != partition.attempt()) {
      return absl::AlreadyExistsError("another attempt has it");
    }
    return absl::OkStatus();
  }
  // All producers have aborted.
  void Abort() {
    absl::MutexLock lock(&mutex_);
    sealed_.clear();
  }
  void AnswerWith(const absl::Status& answer) {
    absl::MutexLock lock(&mutex_);
    answer_ = answer;
  }
  std::map<std::string, v1::SealPartitionRequest> sealed() {
    absl::MutexLock lock(&mutex_);
    return sealed_;
  }

 private:
  absl::Mutex mutex_;
  absl::Status answer_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, v1::SealPartitionRequest> sealed_
      ABSL_GUARDED_BY(mutex_);
};

// One DoPut call.
class Put {
 public:
  Put(flight::FlightService::Stub* stub, const std::string& token = kToken) {
    net::AddToken(context_, token);
    net::SetTimeout(context_, kDeadline);
    stream_ = stub->DoPut(&context_);
  }
  ~Put() {
    if (!finished_) {
      context_.TryCancel();
      stream_->Finish();
    }
  }

  // The descriptor and the schema's message.
  bool Begin(const std::vector<std::string>& path, const IpcMessage& schema) {
    flight::FlightData data;
    data.mutable_flight_descriptor()->set_type(flight::FlightDescriptor::PATH);
    for (const std::string& part : path) {
      data.mutable_flight_descriptor()->add_path(part);
    }
    data.set_data_header(schema.metadata->ToString());
    return stream_->Write(data);
  }
  bool Send(const IpcMessage& message, const std::string& app_metadata = "") {
    flight::FlightData data;
    data.set_data_header(message.metadata->ToString());
    data.set_data_body(message.body->ToString());
    data.set_app_metadata(app_metadata);
    return stream_->Write(data);
  }
  bool Send(int begin, int end, const std::string& app_metadata = "") {
    return Send(ToMessages({ImageBatch(begin, end)})[1], app_metadata);
  }
  // A message of metadata alone.
  bool Say(const std::string& app_metadata) {
    flight::FlightData data;
    data.set_app_metadata(app_metadata);
    return stream_->Write(data);
  }
  void DoneWriting() { stream_->WritesDone(); }
  void Cancel() { context_.TryCancel(); }

  // The next PutResult's JSON; null at the end.
  json Read() {
    flight::PutResult result;
    if (!stream_->Read(&result)) return nullptr;
    return json::parse(result.app_metadata());
  }
  // Reads until that many rows are acknowledged; false at the end.
  bool AwaitRows(int64_t rows) {
    while (true) {
      const json result = Read();
      if (result.is_null()) return false;
      if (result.contains("offset") && result["offset"] == rows) return true;
    }
  }
  // Reads until the end; the last result.
  json ReadAll() {
    json last;
    for (json next = Read(); !next.is_null(); next = Read()) last = next;
    return last;
  }
  absl::Status Finish() {
    finished_ = true;
    return FromGrpc(stream_->Finish());
  }
  // What the server ended the call with.
  std::string Error() {
    ReadAll();
    return Finish().ToString();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<flight::FlightData, flight::PutResult>>
      stream_;
  bool finished_ = false;
};

std::vector<std::string> Path(const std::string& partition,
                              const std::string& attempt) {
  return {"jobs", "job", "train", "p", partition, attempt};
}

class FeedServiceTest : public ::testing::Test {
 protected:
  FeedServiceTest() {
    spool_options_.folder = folder_ / "spool";
    spool_options_.boot_id = "boot";
    SpoolDataset train;
    train.columns = ImageColumns();
    train.classes = 10;
    train.spool_bytes = 1 << 20;
    spool_options_.datasets["train"] = train;
    Start();
  }
  ~FeedServiceTest() override { Stop(); }

  void Start() {
    auto spool = Spool::Open(spool_options_);
    ASSERT_TRUE(spool.ok()) << spool.status();
    spool_ = *std::move(spool);
    FeedContext context;
    context.job = "job";
    context.task = "feed/0";
    context.generation = 3;
    context.spool = spool_.get();
    context.seal = [this](const v1::SealPartitionRequest& request) {
      return coordinator_.Seal(request);
    };
    service_ = std::make_unique<FeedService>(context, kToken, kJobToken);
    net::ServerOptions options;
    options.unix_path = folder_ / "s";
    options.tcp = "";
    auto server = net::Server::Start(options, {service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = flight::FlightService::NewStub(
        net::Dial("unix:" + options.unix_path, {/*own_connection=*/true}));
  }
  void Stop() {
    if (service_) service_->Stop();
    server_.reset();
    service_.reset();
    spool_.reset();
  }
  void Restart() {
    Stop();
    Start();
  }

  IpcMessage Schema() { return ToMessages({ImageBatch(0, 0)})[0]; }

  // The rows' numbers in the sealed partitions, as a job would read them.
  std::vector<int> SealedRows() {
    v1::DatasetSpec spec;
    spec.set_format(v1::DatasetSpec::PUSHED);
    (*spec.mutable_columns())["features"] = "image";
    OpenOptions options;
    for (const auto& [name, request] : coordinator_.sealed()) {
      options.partitions.push_back(request.partition());
    }
    auto dataset = OpenDataset(spec, Preprocess(PreprocessSteps()), options);
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    if (!dataset.ok()) return {};
    std::vector<int> rows;
    Batch batch;
    for (uint64_t r = 0; r < (*dataset)->info().records; ++r) {
      EXPECT_TRUE((*dataset)->ReadBatch({r}, &batch).ok());
      rows.push_back(static_cast<int>(batch.features()[0]));
    }
    return rows;
  }

  testing::TempFolder folder_;
  SpoolOptions spool_options_;
  FakeCoordinator coordinator_;
  std::unique_ptr<Spool> spool_;
  std::unique_ptr<FeedService> service_;
  std::unique_ptr<net::Server> server_;
  std::unique_ptr<flight::FlightService::Stub> stub_;
};

std::vector<int> Sequence(int begin, int end) {
  std::vector<int> numbers;
  for (int i = begin; i < end; ++i) numbers.push_back(i);
  return numbers;
}

TEST_F(FeedServiceTest, APartitionIsAcknowledgedSealedAndReadBack) {
  Put put(stub_.get());
  ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
  EXPECT_EQ(put.Read(), json({{"offset", 0}}));
  ASSERT_TRUE(put.Send(0, 5));
  ASSERT_TRUE(put.Send(5, 20));
  EXPECT_TRUE(put.AwaitRows(20));
  put.DoneWriting();
  const json last = put.ReadAll();
  EXPECT_TRUE(put.Finish().ok());
  const auto sealed = coordinator_.sealed();
  ASSERT_EQ(sealed.size(), 1u);
  const v1::SealPartitionRequest& request = sealed.at("p/0");
  EXPECT_EQ(request.generation(), 3u);
  EXPECT_EQ(request.partition().feed(), "feed/0");
  EXPECT_EQ(last, json({{"sealed", true},
                        {"rows", 20},
                        {"crc32c", request.partition().crc32c()}}));
  EXPECT_EQ(SealedRows(), Sequence(0, 20));
}

TEST_F(FeedServiceTest, APartitionWithoutRowsIsSealedToo) {
  Put put(stub_.get());
  ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
  put.DoneWriting();
  EXPECT_EQ(put.ReadAll()["rows"], 0);
  EXPECT_TRUE(put.Finish().ok());
}

TEST_F(FeedServiceTest, ALostProducerGoesOnAtItsAcknowledgedOffset) {
  // Again and again, so that a stream that breaks is never taken for one whose
  // writer is done.
  int rows = 0;
  for (int round = 0; round < 30; ++round) {
    Put put(stub_.get());
    ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
    ASSERT_EQ(put.Read(), json({{"offset", rows}}));
    ASSERT_TRUE(put.Send(rows, rows + 4));
    ASSERT_TRUE(put.AwaitRows(rows + 4));
    rows += 4;
    put.Cancel();
  }
  EXPECT_TRUE(coordinator_.sealed().empty());
  Put put(stub_.get());
  ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
  EXPECT_EQ(put.Read(), json({{"offset", rows}}));
  ASSERT_TRUE(put.Send(rows, 150, json({{"offset", rows}}).dump()));
  put.DoneWriting();
  EXPECT_EQ(put.ReadAll()["rows"], 150);
  EXPECT_TRUE(put.Finish().ok());
  EXPECT_EQ(SealedRows(), Sequence(0, 150));
}

TEST_F(FeedServiceTest, ARestartedFeedFindsItsSpool) {
  {
    Put put(stub_.get());
    ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
    ASSERT_TRUE(put.Send(0, 7));
    ASSERT_TRUE(put.AwaitRows(7));
    Restart();
    EXPECT_FALSE(put.AwaitRows(8));
  }
  Put put(stub_.get());
  ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
  EXPECT_EQ(put.Read(), json({{"offset", 7}}));
  ASSERT_TRUE(put.Send(7, 9));
  put.DoneWriting();
  EXPECT_EQ(put.ReadAll()["rows"], 9);
  EXPECT_TRUE(put.Finish().ok());
  EXPECT_EQ(SealedRows(), Sequence(0, 9));
}

TEST_F(FeedServiceTest, SealingAgainAfterARestartGivesTheSame) {
  json first;
  for (int i = 0; i < 2; ++i) {
    Put put(stub_.get());
    ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
    EXPECT_EQ(put.Read(), json({{"offset", i * 7}}));
    if (i == 0) {
      ASSERT_TRUE(put.Send(0, 7));
    }
    put.DoneWriting();
    const json sealed = put.ReadAll();
    EXPECT_TRUE(put.Finish().ok());
    if (i == 0) first = sealed;
    EXPECT_EQ(sealed, first);
    Restart();
  }
  Put put(stub_.get());
  ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
  ASSERT_TRUE(put.Send(7, 8));
  EXPECT_THAT(put.Error(), HasSubstr("nothing can be added"));
}

TEST_F(FeedServiceTest, PartitionsArePushedAtTheSameTime) {
  std::vector<std::thread> producers;
  for (int i = 0; i < 10; ++i) {
    producers.emplace_back([this, i] {
      Put put(stub_.get());
      EXPECT_TRUE(put.Begin(Path(std::to_string(i), "a"), Schema()));
      for (int row = 20 * i; row < 20 * (i + 1); row += 2) {
        EXPECT_TRUE(put.Send(row, row + 2));
      }
      put.DoneWriting();
      EXPECT_EQ(put.ReadAll()["rows"], 20);
      EXPECT_TRUE(put.Finish().ok());
    });
  }
  for (std::thread& producer : producers) producer.join();
  EXPECT_EQ(coordinator_.sealed().size(), 10u);
  EXPECT_EQ(SealedRows(), Sequence(0, 200));
}

TEST_F(FeedServiceTest, OnlyOneAttemptOfAPartitionIsSealed) {
  Put winner(stub_.get());
  Put loser(stub_.get());
  ASSERT_TRUE(winner.Begin(Path("0", "a"), Schema()));
  ASSERT_TRUE(loser.Begin(Path("0", "b"), Schema()));
  ASSERT_TRUE(winner.Send(0, 5));
  ASSERT_TRUE(loser.Send(0, 5));
  ASSERT_TRUE(loser.AwaitRows(5));
  winner.DoneWriting();
  EXPECT_EQ(winner.ReadAll()["sealed"], true);
  EXPECT_TRUE(winner.Finish().ok());
  loser.DoneWriting();
  loser.ReadAll();
  EXPECT_EQ(loser.Finish().code(), absl::StatusCode::kAlreadyExists);
  Put late(stub_.get());
  ASSERT_TRUE(late.Begin(Path("0", "c"), Schema()));
  late.ReadAll();
  EXPECT_EQ(late.Finish().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(FeedServiceTest, WhatWasAbortedIsPushedAgainByAnotherAttempt) {
  for (const std::string attempt : {"a", "b"}) {
    Put put(stub_.get());
    ASSERT_TRUE(put.Begin(Path("0", attempt), Schema()));
    EXPECT_EQ(put.Read(), json({{"offset", 0}}));
    const int begin = attempt == "a" ? 0 : 5;
    ASSERT_TRUE(put.Send(begin, begin + 5));
    put.DoneWriting();
    EXPECT_EQ(put.ReadAll()["sealed"], true);
    EXPECT_TRUE(put.Finish().ok());
    if (attempt == "a") coordinator_.Abort();
  }
  EXPECT_EQ(SealedRows(), Sequence(5, 10));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "spool/train/p/0/a.arrow"));
}

TEST_F(FeedServiceTest, AnAttemptThatTheCoordinatorRefusesIsDropped) {
  coordinator_.AnswerWith(absl::AlreadyExistsError("sealed on another node"));
  Put put(stub_.get());
  ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
  ASSERT_TRUE(put.Send(0, 5));
  put.DoneWriting();
  put.ReadAll();
  const absl::Status status = put.Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("sealed on another node"));
  Stop();  // the call is over for the client a moment before the feed
  Start();
  EXPECT_EQ(spool_->used_bytes("train"), 0u);
}

TEST_F(FeedServiceTest, ACoordinatorThatIsAwayLosesNoRow) {
  coordinator_.AnswerWith(absl::UnavailableError("the coordinator is away"));
  {
    Put put(stub_.get());
    ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
    ASSERT_TRUE(put.Send(0, 5));
    put.DoneWriting();
    put.ReadAll();
    EXPECT_EQ(put.Finish().code(), absl::StatusCode::kUnavailable);
  }
  coordinator_.AnswerWith(absl::OkStatus());
  Put put(stub_.get());
  ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
  EXPECT_EQ(put.Read(), json({{"offset", 5}}));
  put.DoneWriting();
  EXPECT_EQ(put.ReadAll()["rows"], 5);
  EXPECT_TRUE(put.Finish().ok());
}

TEST_F(FeedServiceTest, ASecondStreamOfAnAttemptTakesOver) {
  Put old(stub_.get());
  ASSERT_TRUE(old.Begin(Path("0", "a"), Schema()));
  ASSERT_TRUE(old.Send(0, 5));
  ASSERT_TRUE(old.AwaitRows(5));
  Put taker(stub_.get());
  ASSERT_TRUE(taker.Begin(Path("0", "a"), Schema()));
  EXPECT_EQ(taker.Read(), json({{"offset", 5}}));
  old.ReadAll();
  EXPECT_EQ(old.Finish().code(), absl::StatusCode::kCancelled);
  taker.DoneWriting();
  EXPECT_EQ(taker.ReadAll()["rows"], 5);
}

TEST_F(FeedServiceTest, AWrongTokenIsRefused) {
  for (const std::string token : {"", "other"}) {
    Put put(stub_.get(), token);
    put.Begin(Path("0", "a"), Schema());
    put.ReadAll();
    EXPECT_EQ(put.Finish().code(), absl::StatusCode::kUnauthenticated);
  }
}

TEST_F(FeedServiceTest, PathsThatAreNoneAreRefused) {
  const auto error = [this](const std::vector<std::string>& path) {
    Put put(stub_.get());
    put.Begin(path, Schema());
    return put.Error();
  };
  EXPECT_THAT(error({"jobs", "job", "train"}), HasSubstr("ATTEMPT]"));
  EXPECT_THAT(error({"datasets", "job", "train", "p", "0", "a"}),
              HasSubstr("ATTEMPT]"));
  EXPECT_THAT(error({"jobs", "other", "train", "p", "0", "a"}),
              AllOf(HasSubstr("NOT_FOUND"), HasSubstr("this feed is of job")));
  EXPECT_THAT(error({"jobs", "job", "validation", "p", "0", "a"}),
              HasSubstr("not pushed"));
  for (const std::string& bad :
       {std::string(""), std::string(".."), std::string("a/b"),
        std::string("a\nb"), std::string(201, 'x'), std::string("a\0b", 3)}) {
    EXPECT_THAT(error({"jobs", "job", "train", bad, "0", "a"}),
                HasSubstr("producer"));
    EXPECT_THAT(error({"jobs", "job", "train", "p", bad, "a"}),
                HasSubstr("partition"));
    EXPECT_THAT(error({"jobs", "job", "train", "p", "0", bad}),
                HasSubstr("attempt"));
  }
}

TEST_F(FeedServiceTest, BatchesThatDoNotFitAreRefusedAndTheRowsBeforeKept) {
  const auto error = [this](const IpcMessage& message,
                            const std::string& app_metadata = "") {
    Put put(stub_.get());
    EXPECT_TRUE(put.Begin(Path("0", "a"), Schema()));
    EXPECT_TRUE(put.Send(message, app_metadata));
    return put.Error();
  };
  {
    Put put(stub_.get());
    ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
    ASSERT_TRUE(put.Send(0, 5));
    ASSERT_TRUE(put.AwaitRows(5));
  }
  const IpcMessage good = ToMessages({ImageBatch(5, 8)})[1];
  EXPECT_THAT(error(good, R"({"offset": 4})"),
              AllOf(HasSubstr("begins at row 4"), HasSubstr("has 5 rows")));
  EXPECT_THAT(error(good, "nonsense"), HasSubstr("{\"offset\": ROWS}"));
  EXPECT_THAT(error(ToMessages({ImageBatch(5, 8, 7)})[1]),
              HasSubstr("row 5 has 7 values"));
  EXPECT_THAT(error({good.metadata, good.body->CopySlice(0, 8).ValueOrDie()}),
              HasSubstr("promises a body"));
  EXPECT_THAT(error({arrow::Buffer::FromString("junk"), good.body}),
              HasSubstr("INVALID_ARGUMENT"));
  Put put(stub_.get());
  ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
  EXPECT_EQ(put.Read(), json({{"offset", 5}}));
  ASSERT_TRUE(put.Send(good, R"({"offset": 5})"));
  put.DoneWriting();
  EXPECT_EQ(put.ReadAll()["rows"], 8);
}

TEST_F(FeedServiceTest, APartitionIsSealedOnlyWithTheRowsItsProducerSays) {
  const auto push = [this](const std::string& partition, int64_t said) {
    Put put(stub_.get());
    EXPECT_TRUE(put.Begin(Path(partition, "a"), Schema()));
    EXPECT_TRUE(put.Send(0, 5));
    EXPECT_TRUE(put.Say(json({{"rows", said}}).dump()));
    put.DoneWriting();
    put.ReadAll();
    return put.Finish();
  };
  const absl::Status cut_off = push("0", 6);
  EXPECT_EQ(cut_off.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(cut_off.message()),
              AllOf(HasSubstr("has 6 rows, and the spool has 5"),
                    HasSubstr("same attempt")));
  EXPECT_THAT(push("1", 4).ToString(),
              AllOf(HasSubstr("has 4 rows, and the spool has 5"),
                    HasSubstr("new attempt")));
  EXPECT_TRUE(coordinator_.sealed().empty());
  EXPECT_TRUE(push("2", 5).ok());
  // What was there is kept.
  Put put(stub_.get());
  ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
  EXPECT_EQ(put.Read(), json({{"offset", 5}}));
  ASSERT_TRUE(put.Send(5, 6));
  ASSERT_TRUE(put.Say(R"({"rows": 6})"));
  put.DoneWriting();
  EXPECT_EQ(put.ReadAll()["rows"], 6);
}

TEST_F(FeedServiceTest, TheRowsMayBeSaidWithEveryBatch) {
  {
    Put put(stub_.get());
    ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
    ASSERT_TRUE(put.Send(0, 5, R"({"offset": 0, "rows": 8})"));
    put.DoneWriting();
    EXPECT_THAT(put.Error(), HasSubstr("has 8 rows, and the spool has 5"));
  }
  {
    Put put(stub_.get());
    ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
    ASSERT_TRUE(put.Send(5, 8, R"({"offset": 5, "rows": 8})"));
    ASSERT_TRUE(put.Say(R"({"rows": 9})"));
    put.DoneWriting();
    EXPECT_THAT(put.Error(), HasSubstr("before it said 8"));
  }
  Put put(stub_.get());
  ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
  ASSERT_TRUE(put.Say(R"({"rows": 8})"));
  put.DoneWriting();
  EXPECT_EQ(put.ReadAll()["rows"], 8);
}

TEST_F(FeedServiceTest, MoreStreamsThanTheFeedTakesAreToldToComeAgain) {
  std::vector<std::unique_ptr<Put>> open;
  for (int i = 0; i < 256; ++i) {
    open.push_back(std::make_unique<Put>(stub_.get()));
    ASSERT_TRUE(open.back()->Begin(Path(std::to_string(i), "a"), Schema()));
    ASSERT_EQ(open.back()->Read(), json({{"offset", 0}})) << i;
  }
  Put late(stub_.get());
  late.Begin(Path("late", "a"), Schema());
  late.ReadAll();
  const absl::Status status = late.Finish();
  // RESOURCE_EXHAUSTED is a full spool, which no retry helps.
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("try again"));
}

TEST_F(FeedServiceTest, AFullSpoolEndsTheStreamInWords) {
  spool_options_.datasets["train"].spool_bytes = 2000;
  Restart();
  Put put(stub_.get());
  ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
  for (int row = 0; put.Send(row, row + 100) && row < 100000; row += 100) {
  }
  EXPECT_THAT(put.Error(), AllOf(HasSubstr("RESOURCE_EXHAUSTED"),
                                 HasSubstr("data.train.spool_bytes")));
}

TEST_F(FeedServiceTest, StoppingEndsCallsThatAreIdle) {
  Put put(stub_.get());
  ASSERT_TRUE(put.Begin(Path("0", "a"), Schema()));
  ASSERT_EQ(put.Read(), json({{"offset", 0}}));
  Stop();
  put.ReadAll();
  EXPECT_FALSE(put.Finish().ok());
}

}  // namespace
}  // namespace tfd::data
