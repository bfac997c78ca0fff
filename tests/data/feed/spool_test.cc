#include "data/feed/spool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "absl/synchronization/notification.h"
#include "common/testing/temp_folder.h"
#include "tests/data/arrow_messages.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const AttemptKey kKey = {"train", "spark", "3", "x7"};

AttemptKey Attempt(const std::string& attempt) {
  AttemptKey key = kKey;
  key.attempt = attempt;
  return key;
}

class SpoolTest : public ::testing::Test {
 protected:
  SpoolTest() {
    options_.folder = folder_ / "job";
    options_.boot_id = "boot-1";
    options_.takeover_timeout = absl::Milliseconds(20);
    SpoolDataset train;
    train.columns = ImageColumns();
    train.spool_bytes = 1 << 20;
    options_.datasets["train"] = train;
    Restart();
  }

  // As a new process on the same folder.
  void Restart() {
    spool_.reset();
    auto spool = Spool::Open(options_);
    ASSERT_TRUE(spool.ok()) << spool.status();
    spool_ = *std::move(spool);
  }

  std::unique_ptr<AttemptWriter> AcquireOrDie(const AttemptKey& key = kKey) {
    auto writer = spool_->Acquire(key, nullptr);
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }

  // The schema and one batch.
  absl::Status Push(AttemptWriter* writer, int begin, int end, int pixels = 6) {
    const auto messages = ToMessages({ImageBatch(begin, end, pixels)});
    const absl::Status status = writer->Begin(messages[0].metadata);
    if (!status.ok()) return status;
    return writer->Append(messages[1].metadata, messages[1].body);
  }

  bool Exists(const AttemptKey& key) {
    return std::filesystem::exists(
        folder_ /
        ("job/train/spark/" + key.partition + "/" + key.attempt + ".arrow"));
  }

  testing::TempFolder folder_;
  SpoolOptions options_;
  std::unique_ptr<Spool> spool_;
};

TEST_F(SpoolTest, RowsStayBetweenWritersAndProcesses) {
  {
    auto writer = AcquireOrDie();
    EXPECT_EQ(writer->rows(), 0);
    ASSERT_TRUE(Push(writer.get(), 0, 5).ok());
    EXPECT_EQ(writer->rows(), 5);
  }
  EXPECT_EQ(AcquireOrDie()->rows(), 5);
  const uint64_t used = spool_->used_bytes("train");
  EXPECT_GT(used, 0u);
  Restart();
  EXPECT_EQ(spool_->used_bytes("train"), used);
  EXPECT_EQ(AcquireOrDie()->rows(), 5);
}

TEST_F(SpoolTest, AnotherAttemptBeginsAtZero) {
  ASSERT_TRUE(Push(AcquireOrDie().get(), 0, 5).ok());
  EXPECT_EQ(AcquireOrDie(Attempt("y"))->rows(), 0);
}

TEST_F(SpoolTest, OneStreamAtATimeWritesAnAttempt) {
  auto writer = AcquireOrDie();
  EXPECT_EQ(spool_->Acquire(kKey, nullptr).status().code(),
            absl::StatusCode::kAborted);
  writer.reset();
  EXPECT_TRUE(spool_->Acquire(kKey, nullptr).ok());
}

TEST_F(SpoolTest, ANewStreamTakesOverFromTheOneBefore) {
  options_.takeover_timeout = absl::Seconds(30);
  Restart();
  absl::Notification evicted;
  auto old = spool_->Acquire(kKey, [&evicted] { evicted.Notify(); });
  ASSERT_TRUE(old.ok());
  ASSERT_TRUE(Push(old->get(), 0, 5).ok());
  std::thread lets_go([&] {
    evicted.WaitForNotification();
    old->reset();
  });
  auto taken = spool_->Acquire(kKey, nullptr);
  lets_go.join();
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ((*taken)->rows(), 5);
}

TEST_F(SpoolTest, OtherAttemptsOfASealedPartitionAreDropped) {
  ASSERT_TRUE(Push(AcquireOrDie(Attempt("idle")).get(), 0, 5).ok());
  auto busy = AcquireOrDie(Attempt("busy"));
  ASSERT_TRUE(Push(busy.get(), 0, 5).ok());
  AttemptKey other = Attempt("idle");
  other.partition = "4";
  ASSERT_TRUE(Push(AcquireOrDie(other).get(), 0, 5).ok());
  auto winner = AcquireOrDie();
  ASSERT_TRUE(Push(winner.get(), 0, 5).ok());
  ASSERT_TRUE(winner->Finish().ok());
  spool_->MarkSealed(kKey);

  EXPECT_FALSE(Exists(Attempt("idle")));
  const auto messages = ToMessages({ImageBatch(5, 6)});
  EXPECT_EQ(busy->Append(messages[1].metadata, messages[1].body).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(busy->Finish().status().code(), absl::StatusCode::kAlreadyExists);
  busy.reset();
  EXPECT_FALSE(Exists(Attempt("busy")));
  EXPECT_EQ(spool_->Acquire(Attempt("late"), nullptr).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(Exists(kKey));
  EXPECT_TRUE(Exists(other));
}

TEST_F(SpoolTest, ADroppedAttemptIsDeletedAndItsRoomFree) {
  {
    auto writer = AcquireOrDie();
    ASSERT_TRUE(Push(writer.get(), 0, 5).ok());
    ASSERT_TRUE(writer->Finish().ok());
    writer->Drop();
  }
  EXPECT_EQ(spool_->used_bytes("train"), 0u);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "job/train/spark/3"));
  EXPECT_EQ(AcquireOrDie()->rows(), 0);
}

TEST_F(SpoolTest, AFullSpoolRefusesAndSaysWhatToSet) {
  options_.datasets["train"].spool_bytes = 3000;
  Restart();
  auto writer = AcquireOrDie();
  absl::Status status;
  int rows = 0;
  while (status.ok()) {
    status = Push(writer.get(), rows, rows + 50);
    if (status.ok()) rows += 50;
    ASSERT_LT(rows, 10000);
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("data.train.spool_bytes: 2.9 KiB"),
                    HasSubstr("waiting would not help")));
  EXPECT_GT(rows, 0);
  EXPECT_EQ(writer->rows(), rows);
  EXPECT_LE(spool_->used_bytes("train"), 3000u);
  // What another attempt leaves, can be used.
  writer->Drop();
  writer.reset();
  EXPECT_TRUE(Push(AcquireOrDie(Attempt("y")).get(), 0, 50).ok());
}

TEST_F(SpoolTest, WhatWasNotDurableIsDroppedAfterAReboot) {
  ASSERT_TRUE(Push(AcquireOrDie().get(), 0, 5).ok());
  {
    auto finished = AcquireOrDie(Attempt("finished"));
    ASSERT_TRUE(Push(finished.get(), 0, 5).ok());
    ASSERT_TRUE(finished->Finish().ok());
  }
  options_.boot_id = "boot-2";
  Restart();
  EXPECT_FALSE(Exists(kKey));
  EXPECT_TRUE(Exists(Attempt("finished")));
  EXPECT_EQ(AcquireOrDie(Attempt("finished"))->rows(), 5);
}

TEST_F(SpoolTest, RecordsOfAnotherSizeThanTheDatasetsAreRefused) {
  ASSERT_TRUE(Push(AcquireOrDie().get(), 0, 5).ok());
  AttemptKey other = kKey;
  other.partition = "4";
  EXPECT_THAT(std::string(Push(AcquireOrDie(other).get(), 0, 5, 7).message()),
              HasSubstr("have 6"));
  // Also when what is there was written by a process before this one.
  Restart();
  EXPECT_EQ(AcquireOrDie()->rows(), 5);
  EXPECT_THAT(std::string(Push(AcquireOrDie(other).get(), 0, 5, 7).message()),
              HasSubstr("have 6"));
}

TEST_F(SpoolTest, GoingOnWithAnotherSchemaIsRefused) {
  ASSERT_TRUE(Push(AcquireOrDie().get(), 0, 5).ok());
  const auto batch = JsonBatch({{"image", arrow::binary(), R"(["abcdef"])"},
                                {"label", arrow::int64(), "[1]"}});
  EXPECT_THAT(
      std::string(
          AcquireOrDie()->Begin(ToMessages({batch})[0].metadata).message()),
      AllOf(HasSubstr("label: uint8"), HasSubstr("label: int64")));
}

TEST_F(SpoolTest, ADatasetThatIsNotPushedIsRefused) {
  AttemptKey key = kKey;
  key.dataset = "validation";
  EXPECT_EQ(spool_->Acquire(key, nullptr).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tfd::data
