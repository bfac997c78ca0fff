#include "data/prefetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "absl/synchronization/notification.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(30);

// Record r has the one feature r and the label r + 1. Reading a record of
// `failing` fails, reading `blocking` waits until it is released.
class FakeDataset : public Dataset {
 public:
  explicit FakeDataset(uint64_t records) {
    info_.source = "the fake data set";
    info_.records = records;
    info_.has_labels = true;
  }

  const DatasetInfo& info() const override { return info_; }

  absl::Status ReadBatch(absl::Span<const uint64_t> records,
                         Batch* out) const override {
    out->Resize(static_cast<int64_t>(records.size()), 1);
    for (size_t i = 0; i < records.size(); ++i) {
      if (records[i] == failing) return absl::DataLossError("bad sector");
      if (records[i] == late) return absl::DeadlineExceededError("too late");
      if (records[i] == blocking) release.WaitForNotification();
      out->features()[i] = static_cast<float>(records[i]);
    }
    ++batches_read;
    return ReadLabels(records, out->labels());
  }

  absl::Status ReadLabels(absl::Span<const uint64_t> records,
                          int64_t* out) const override {
    for (size_t i = 0; i < records.size(); ++i) {
      out[i] = static_cast<int64_t>(records[i]) + 1;
    }
    return absl::OkStatus();
  }

  static constexpr uint64_t kNone = ~uint64_t{0};
  uint64_t failing = kNone;
  uint64_t late = kNone;
  uint64_t blocking = kNone;
  mutable absl::Notification release;
  mutable std::atomic<int> batches_read{0};

 private:
  DatasetInfo info_;
};

BatchPlan Plan(uint64_t records, int64_t batch_size, int64_t slots,
               int64_t epochs, bool shuffle = false) {
  BatchPlanOptions options;
  options.records = records;
  options.batch_size = batch_size;
  options.slots = slots;
  options.epochs = epochs;
  options.shuffle = shuffle;
  return *BatchPlan::Make(options);
}

std::unique_ptr<Prefetcher> StartOrDie(const Dataset& dataset,
                                       const BatchPlan& plan,
                                       PrefetcherOptions options = {}) {
  auto prefetcher = Prefetcher::Start(&dataset, plan, options);
  EXPECT_TRUE(prefetcher.ok()) << prefetcher.status();
  return *std::move(prefetcher);
}

TEST(PrefetcherTest, GivesTheBatchesOfItsSlotInOrder) {
  const FakeDataset dataset(10);
  PrefetcherOptions options;
  options.slot = 1;
  const BatchPlan plan = Plan(10, 2, 2, 2);  // 5 batches, 3 steps an epoch
  auto prefetcher = StartOrDie(dataset, plan, options);
  const std::vector<std::vector<float>> expected = {{2, 3}, {6, 7}, {},
                                                    {2, 3}, {6, 7}, {}};
  for (size_t step = 0; step < expected.size(); ++step) {
    const auto batch = prefetcher->Next(kLong);
    ASSERT_TRUE(batch.ok()) << batch.status();
    EXPECT_EQ((*batch)->step, static_cast<int64_t>(step));
    EXPECT_EQ((*batch)->epoch, static_cast<int64_t>(step / 3));
    EXPECT_EQ((*batch)->number, static_cast<int64_t>(step % 3 * 2 + 1));
    ASSERT_EQ((*batch)->size(), static_cast<int64_t>(expected[step].size()));
    for (size_t i = 0; i < expected[step].size(); ++i) {
      EXPECT_EQ((*batch)->features()[i], expected[step][i]);
      EXPECT_EQ((*batch)->labels()[i], expected[step][i] + 1);
    }
  }
  EXPECT_EQ(prefetcher->Next(kLong).status().code(),
            absl::StatusCode::kOutOfRange);
}

TEST(PrefetcherTest, BeginsAtAnyStepAsIfItHadComeThere) {
  const FakeDataset dataset(101);
  const BatchPlan plan = Plan(101, 4, 3, 4, /*shuffle=*/true);
  auto whole = StartOrDie(dataset, plan);
  std::vector<std::vector<float>> batches;
  for (int64_t step = 0; step < plan.total_steps(); ++step) {
    const Batch& batch = **whole->Next(kLong);
    batches.emplace_back(batch.features(), batch.features() + batch.size());
  }
  for (const int64_t first : {1, 8, 9, 20, 35}) {
    PrefetcherOptions options;
    options.first_step = first;
    auto prefetcher = StartOrDie(dataset, plan, options);
    for (int64_t step = first; step < plan.total_steps(); ++step) {
      const Batch& batch = **prefetcher->Next(kLong);
      EXPECT_EQ(
          std::vector<float>(batch.features(), batch.features() + batch.size()),
          batches[step]);
    }
  }
}

TEST(PrefetcherTest, KeepsTheBatchInUseAndReusesItsBuffers) {
  const FakeDataset dataset(1000);
  PrefetcherOptions options;
  options.depth = 3;
  auto prefetcher = StartOrDie(dataset, Plan(1000, 1, 1, 1), options);
  std::set<const float*> buffers;
  for (int i = 0; i < 1000; ++i) {
    const Batch& batch = **prefetcher->Next(kLong);
    buffers.insert(batch.features());
    std::this_thread::yield();
    EXPECT_EQ(batch.features()[0], i);
  }
  EXPECT_EQ(buffers.size(), 3u);
}

TEST(PrefetcherTest, ReadsNoFurtherAheadThanItsDepth) {
  FakeDataset dataset(100);
  dataset.blocking = 7;
  PrefetcherOptions options;
  options.depth = 4;
  auto prefetcher = StartOrDie(dataset, Plan(100, 1, 1, 1), options);
  // With batch 3 in use, 4, 5 and 6 may be read, and 7 not.
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(prefetcher->Next(kLong).ok());
  EXPECT_LE(dataset.batches_read, 7);
  dataset.release.Notify();
  for (int i = 4; i < 100; ++i) ASSERT_TRUE(prefetcher->Next(kLong).ok());
}

TEST(PrefetcherTest, AnErrorComesAfterTheBatchesBeforeItAndStays) {
  FakeDataset dataset(10);
  dataset.failing = 3;
  auto prefetcher = StartOrDie(dataset, Plan(10, 1, 1, 1));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(prefetcher->Next(kLong).ok());
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = prefetcher->Next(kLong).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("batch 3 of epoch 0 (step 3)"),
                      HasSubstr("bad sector")));
  }
}

TEST(PrefetcherTest, ARecordThatDoesNotComeInTimeIsNotWaitedForAgain) {
  FakeDataset dataset(10);
  dataset.late = 1;
  auto prefetcher = StartOrDie(dataset, Plan(10, 1, 1, 1));
  ASSERT_TRUE(prefetcher->Next(kLong).ok());
  const absl::Status status = prefetcher->Next(kLong).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("batch 1 of epoch 0"), HasSubstr("too late")));
}

TEST(PrefetcherTest, ADeadlineNamesWhatItWaitsForAndMayBeTriedAgain) {
  FakeDataset dataset(10);
  dataset.blocking = 1;
  auto prefetcher = StartOrDie(dataset, Plan(10, 1, 1, 1));
  ASSERT_TRUE(prefetcher->Next(kLong).ok());
  const absl::Status status = prefetcher->Next(absl::Milliseconds(1)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("the batch of step 1"), HasSubstr("the fake data set")));
  dataset.release.Notify();
  const auto batch = prefetcher->Next(kLong);
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ((*batch)->step, 1);
}

TEST(PrefetcherTest, StopEndsAWaitingNext) {
  FakeDataset dataset(10);
  dataset.blocking = 0;
  auto prefetcher = StartOrDie(dataset, Plan(10, 1, 1, 1));
  std::thread stopper([&] { prefetcher->Stop(); });
  EXPECT_EQ(prefetcher->Next(kLong).status().code(),
            absl::StatusCode::kCancelled);
  stopper.join();
  dataset.release.Notify();
}

TEST(PrefetcherTest, EndsWithBatchesLeft) {
  const FakeDataset dataset(1000000);
  auto prefetcher = StartOrDie(dataset, Plan(1000000, 1, 1, 1));
  ASSERT_TRUE(prefetcher->Next(kLong).ok());
}

TEST(PrefetcherTest, RefusesWhatDoesNotFit) {
  const FakeDataset dataset(10);
  PrefetcherOptions options;
  EXPECT_THAT(
      std::string(Prefetcher::Start(&dataset, Plan(11, 1, 1, 1), options)
                      .status()
                      .message()),
      AllOf(HasSubstr("11 records"), HasSubstr("has 10")));
  options.slot = 2;
  EXPECT_FALSE(Prefetcher::Start(&dataset, Plan(10, 1, 2, 1), options).ok());
  options.slot = 0;
  options.depth = 1;
  EXPECT_FALSE(Prefetcher::Start(&dataset, Plan(10, 1, 1, 1), options).ok());
}

}  // namespace
}  // namespace tfd::data
