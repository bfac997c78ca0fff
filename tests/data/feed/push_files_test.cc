// Files pushed to a real feed, with a coordinator that grants what it is asked.
#include "data/feed/push_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "arrow/flight/protocol/Flight.grpc.pb.h"
#include "common/net/server.h"
#include "common/status.h"
#include "common/testing/temp_folder.h"
#include "data/feed/feed_service.h"
#include "tests/data/arrow_messages.h"
#include "tests/data/idx_files.h"

namespace tfd::data {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
namespace flight = arrow::flight::protocol;

constexpr char kPushToken[] = "feed-token";
constexpr absl::Duration kPushDeadline = absl::Seconds(60);

// The coordinator's side of one producer.
class FakeDatasets final : public flight::FlightService::Service {
 public:
  absl::Status Seal(const v1::SealPartitionRequest& request) {
    absl::MutexLock lock(&mutex_);
    const v1::Partition& partition = request.partition();
    const auto [found, is_new] =
        sealed_.emplace(partition.partition(), partition);
    if (is_new || found->second.attempt() == partition.attempt()) {
      return absl::OkStatus();
    }
    return absl::AlreadyExistsError("another attempt has it");
  }

  grpc::Status GetFlightInfo(grpc::ServerContext*,
                             const flight::FlightDescriptor*,
                             flight::FlightInfo* response) override {
    absl::MutexLock lock(&mutex_);
    if (away_ > 0) {
      --away_;
      return ToGrpc(absl::UnavailableError("the job does not run yet"));
    }
    flight::FlightEndpoint& endpoint = *response->add_endpoint();
    endpoint.add_location()->set_uri("grpc+tcp://" + feed_);
    endpoint.mutable_ticket()->set_ticket(kPushToken);
    return grpc::Status::OK;
  }

  grpc::Status DoAction(grpc::ServerContext*, const flight::Action* request,
                        grpc::ServerWriter<flight::Result>* out) override {
    const json body = json::parse(request->body());
    absl::MutexLock lock(&mutex_);
    if (request->type() == "commit") {
      ++commits_;
      committed_ = true;
      listed_ = body["partitions"];
    }
    json state = {{"partitions", json::array()}, {"producers", json::array()}};
    if (request->type() != "status" || committed_) {
      state["producers"].push_back(
          {{"name", body["producer"]}, {"committed", committed_}});
    }
    for (const auto& [name, partition] : sealed_) {
      state["partitions"].push_back({{"producer", partition.producer()},
                                     {"partition", name},
                                     {"attempt", partition.attempt()},
                                     {"rows", partition.rows()}});
    }
    flight::Result result;
    result.set_body(state.dump());
    out->Write(result);
    return grpc::Status::OK;
  }

  absl::Mutex mutex_;
  std::string feed_ ABSL_GUARDED_BY(mutex_);
  int away_ ABSL_GUARDED_BY(mutex_) = 0;
  int commits_ ABSL_GUARDED_BY(mutex_) = 0;
  bool committed_ ABSL_GUARDED_BY(mutex_) = false;
  json listed_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, v1::Partition> sealed_ ABSL_GUARDED_BY(mutex_);
};

class PushFilesTest : public ::testing::Test {
 protected:
  PushFilesTest() {
    SpoolOptions spool;
    spool.folder = folder_ / "spool";
    spool.boot_id = "boot";
    spool.datasets["train"].columns = ImageColumns();
    spool.datasets["train"].spool_bytes = 64 << 20;
    spool_ = Spool::Open(spool).value();
    FeedContext context;
    context.job = "job";
    context.spool = spool_.get();
    context.seal = [this](const v1::SealPartitionRequest& request) {
      return coordinator_.Seal(request);
    };
    feed_ = std::make_unique<FeedService>(context, kPushToken, "job-token");
    feed_server_ = net::Server::Start({}, {feed_.get()}).value();
    server_ = net::Server::Start({}, {&coordinator_}).value();
    {
      absl::MutexLock lock(&coordinator_.mutex_);
      coordinator_.feed_ = feed_server_->endpoint().tcp();
    }
    options_.target = {server_->endpoint().tcp(), "job", "train", "me"};
    options_.columns = "image,label";
    options_.timeout = kPushDeadline;
  }
  ~PushFilesTest() override {
    feed_->Stop();
    feed_server_.reset();
  }

  // An Arrow file of ten times as many rows as `rows`.
  std::string Write(const std::string& name, int rows, int pixels = 6) {
    std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
    for (int i = 0; i < 10; ++i) {
      batches.push_back(ImageBatch(i * rows, (i + 1) * rows, pixels));
    }
    const std::string path = folder_ / name;
    WriteBytes(path, StreamOf(batches));
    options_.files.push_back(path);
    return path;
  }
  absl::StatusOr<PushProgress> Push() {
    return PushFiles(options_,
                     [](const PushProgress&) { return absl::OkStatus(); });
  }
  int64_t CommittedRows() {
    absl::MutexLock lock(&coordinator_.mutex_);
    int64_t rows = 0;
    for (const json& partition : coordinator_.listed_) {
      rows += partition["rows"].get<int64_t>();
    }
    return rows;
  }

  testing::TempFolder folder_;
  FakeDatasets coordinator_;
  std::unique_ptr<Spool> spool_;
  std::unique_ptr<FeedService> feed_;
  std::unique_ptr<net::Server> feed_server_;
  std::unique_ptr<net::Server> server_;
  PushFilesOptions options_;
};

TEST_F(PushFilesTest, FilesBecomePartitionsAndAreCommittedOnce) {
  Write("a.arrow", 20);
  Write("b.arrow", 5);
  options_.partition_bytes = 500;
  {
    absl::MutexLock lock(&coordinator_.mutex_);
    coordinator_.away_ = 2;
  }
  bool waited = false;
  const auto done = PushFiles(options_, [&waited](const PushProgress& so_far) {
    waited = waited || so_far.waits_for == "the job does not run yet";
    return absl::OkStatus();
  });
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_TRUE(waited);
  EXPECT_EQ(done->rows, 250);
  EXPECT_EQ(done->rows_before, 0);
  EXPECT_GT(done->partitions, 3);
  EXPECT_EQ(CommittedRows(), 250);
  // Again: nothing is left to do.
  const auto again = Push();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->rows_before, 250);
  absl::MutexLock lock(&coordinator_.mutex_);
  EXPECT_EQ(coordinator_.commits_, 1);
}

TEST_F(PushFilesTest, OneThatDiedInAPartitionGoesOnBehindTheRowsThatAreThere) {
  constexpr int kPixels = 10000;
  Write("large.arrow", 60, kPixels);
  const auto died = PushFiles(options_, [&](const PushProgress& so_far) {
    if (so_far.rows < 200) return absl::OkStatus();
    // What was acknowledged is all that counts.
    const absl::Time deadline = absl::Now() + kPushDeadline;
    while (spool_->used_bytes("train") < 100 * kPixels &&
           absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    return absl::CancelledError("killed");
  });
  EXPECT_TRUE(absl::IsCancelled(died.status())) << died.status();
  EXPECT_EQ(CommittedRows(), 0);
  const auto done = Push();
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->rows, 600);
  EXPECT_GE(done->rows_before, 100);
  EXPECT_EQ(done->partitions, 1);
  EXPECT_EQ(CommittedRows(), 600);
}

TEST_F(PushFilesTest, OtherRowsOfTheSameProducerAreRefused) {
  const std::string path = Write("a.arrow", 20);
  options_.partition_bytes = 500;
  ASSERT_TRUE(Push().ok());
  WriteBytes(path, StreamOf({ImageBatch(1, 201)}));
  const auto other = Push();
  EXPECT_TRUE(absl::IsAlreadyExists(other.status())) << other.status();
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("--producer"));
  // Fewer are other rows, too.
  WriteBytes(path, StreamOf({ImageBatch(0, 20), ImageBatch(20, 40)}));
  EXPECT_TRUE(absl::IsAlreadyExists(Push().status()));
  EXPECT_EQ(CommittedRows(), 200);
}

TEST_F(PushFilesTest, WhatIsWrongWithAFileIsNamedAndNothingCommitted) {
  Write("a.arrow", 20);
  options_.files.push_back(folder_ / "unknown.bin");
  WriteBytes(options_.files.back(), "x");
  EXPECT_THAT(
      std::string(Push().status().message()),
      ::testing::AllOf(HasSubstr("unknown.bin"), HasSubstr("--format")));
  options_.files.back() = folder_ / "other.arrow";
  WriteBytes(options_.files.back(),
             StreamOf({JsonBatch({{"image", arrow::utf8(), R"(["a"])"},
                                  {"label", arrow::int8(), "[1]"}})}));
  EXPECT_THAT(std::string(Push().status().message()),
              HasSubstr("has the type string"));
  EXPECT_EQ(CommittedRows(), 0);
}

}  // namespace
}  // namespace tfd::data
