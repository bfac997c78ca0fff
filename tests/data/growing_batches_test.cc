#include "data/growing_batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crc32c.h"
#include "common/testing/temp_folder.h"
#include "tests/data/arrow_messages.h"
#include "tests/data/idx_files.h"

namespace tfd::data {
namespace {

using ::testing::HasSubstr;

// One or more slots that read the same segments.
class GrowingBatchesTest : public ::testing::Test {
 protected:
  GrowingBatchesTest() {
    options_.spec.set_format(v1::DatasetSpec::PUSHED);
    options_.spec.set_shuffle(true);
    (*options_.spec.mutable_columns())["features"] = "image";
    (*options_.spec.mutable_columns())["label"] = "label";
    options_.batch_size = 4;
    options_.epochs = 1;
    options_.await =
        [this](int64_t number,
               absl::Duration) -> absl::StatusOr<std::optional<v1::Segment>> {
      const auto found = segments_.find(number);
      if (found != segments_.end()) return found->second;
      if (ended_) return std::nullopt;
      return absl::DeadlineExceededError("not there yet");
    };
    options_.on_grown = [this](const GrowingLength& length) {
      lengths_.push_back(length);
    };
  }

  // Segment after segment, with rows [begin, end).
  void Publish(int begin, int end, int pixels = 6) {
    v1::Segment& segment =
        segments_[static_cast<int64_t>(segments_.size()) + 1];
    segment.set_dataset("train");
    segment.set_number(static_cast<int64_t>(segments_.size()));
    v1::Partition& partition = *segment.add_partitions();
    partition.set_producer("p");
    partition.set_partition(absl::StrCat(segment.number()));
    partition.set_rows(end - begin);
    const std::string bytes = StreamOf({ImageBatch(begin, end, pixels)});
    partition.set_crc32c(Crc32c(bytes));
    partition.set_path(folder_ / absl::StrCat(segment.number(), ".arrow"));
    WriteBytes(partition.path(), bytes);
  }

  std::unique_ptr<GrowingBatches> Open(int64_t slot = 0) {
    GrowingOptions options = options_;
    options.slot = slot;
    auto batches = std::make_unique<GrowingBatches>(options);
    const absl::Status first = batches->AwaitFirst(absl::ZeroDuration());
    EXPECT_TRUE(first.ok()) << first;
    return batches;
  }

  // The records of a step, by their first pixel; what reading ended with.
  absl::Status Read(GrowingBatches& batches, int64_t step,
                    std::vector<int>* rows) {
    Batch batch;
    const absl::Status status =
        batches.Read(step, absl::ZeroDuration(), &batch);
    rows->clear();
    if (!status.ok()) return status;
    last_ = batch.last;
    epoch_ = batch.epoch;
    for (int64_t i = 0; i < batch.size(); ++i) {
      rows->push_back(static_cast<int>(
          batch.features()[i * batch.elements()] * 255.0f + 0.5f));
    }
    return status;
  }

  testing::TempFolder folder_;
  GrowingOptions options_;
  std::map<int64_t, v1::Segment> segments_;
  bool ended_ = false;
  std::vector<GrowingLength> lengths_;
  bool last_ = false;
  int64_t epoch_ = 0;
};

TEST_F(GrowingBatchesTest, SegmentsFollowEachOtherAndEveryRowIsReadOnce) {
  Publish(0, 10);
  const auto batches = Open();
  EXPECT_EQ(batches->info().elements, 6);
  std::multiset<int> seen;
  std::vector<int> rows;
  // ⌈10 / 4⌉ steps of the first.
  for (int64_t step = 0; step < 3; ++step) {
    ASSERT_TRUE(Read(*batches, step, &rows).ok());
    EXPECT_EQ(rows.size(), step == 2 ? 2u : 4u);
    seen.insert(rows.begin(), rows.end());
  }
  EXPECT_EQ(seen.size(), 10u);
  EXPECT_EQ(std::set<int>(seen.begin(), seen.end()).size(), 10u);
  EXPECT_TRUE(absl::IsDeadlineExceeded(Read(*batches, 3, &rows)));
  // One that has no rows takes no step.
  Publish(10, 10);
  Publish(20, 23);
  ASSERT_TRUE(Read(*batches, 3, &rows).ok());
  EXPECT_THAT(rows, ::testing::UnorderedElementsAre(20, 21, 22));
  EXPECT_FALSE(last_);
  ended_ = true;
  ASSERT_TRUE(Read(*batches, 4, &rows).ok());
  EXPECT_TRUE(rows.empty());
  EXPECT_TRUE(last_);
  EXPECT_TRUE(absl::IsOutOfRange(Read(*batches, 5, &rows)));
  ASSERT_EQ(lengths_.size(), 4u);
  EXPECT_EQ(lengths_[0].total_steps, 3);
  EXPECT_EQ(lengths_[2].total_steps, 4);
  EXPECT_EQ(lengths_[2].segments, 3);
  EXPECT_EQ(lengths_[3].total_steps, 5);
  EXPECT_EQ(lengths_[3].records, 13);
  EXPECT_FALSE(lengths_[3].open);
}

TEST_F(GrowingBatchesTest, ASegmentOfNothingButNullsTakesNoStep) {
  options_.spec.set_nulls("drop");
  Publish(0, 4);
  Publish(4, 8);
  Publish(8, 12);
  v1::Partition& partition = *segments_[2].mutable_partitions(0);
  const std::string bytes =
      StreamOf({JsonBatch({{"image", arrow::binary(), "[null, null]"},
                           {"label", arrow::uint8(), "[1, 2]"}})});
  partition.set_rows(2);
  partition.set_crc32c(Crc32c(bytes));
  WriteBytes(partition.path(), bytes);
  const auto batches = Open();
  std::vector<int> rows;
  ASSERT_TRUE(Read(*batches, 0, &rows).ok());
  ASSERT_TRUE(Read(*batches, 1, &rows).ok());
  EXPECT_THAT(rows, ::testing::UnorderedElementsAre(8, 9, 10, 11));
}

TEST_F(GrowingBatchesTest, SlotsShareEachSegmentAndComeToTheSameEnd) {
  options_.slots = 2;
  options_.first_step = 7;
  Publish(0, 9);
  ended_ = true;
  std::multiset<int> seen;
  for (const int64_t slot : {0, 1}) {
    const auto batches = Open(slot);
    std::vector<int> rows;
    // ⌈⌈9 / 4⌉ / 2⌉ steps; the second slot is idle in the second.
    for (const int64_t step : {7, 8}) {
      ASSERT_TRUE(Read(*batches, step, &rows).ok());
      EXPECT_EQ(rows.empty(), slot == 1 && step == 8);
      EXPECT_FALSE(last_);
      seen.insert(rows.begin(), rows.end());
    }
    ASSERT_TRUE(Read(*batches, 9, &rows).ok());
    EXPECT_TRUE(last_);
  }
  EXPECT_EQ(seen.size(), 9u);
  EXPECT_EQ(std::set<int>(seen.begin(), seen.end()).size(), 9u);
}

TEST_F(GrowingBatchesTest, LaterEpochsMixAllSegments) {
  options_.epochs = 3;
  Publish(0, 8);
  Publish(100, 108);
  ended_ = true;
  const auto batches = Open();
  std::vector<int> rows;
  std::vector<std::multiset<int>> epochs(3);
  for (int64_t step = 0; step < 12; ++step) {
    ASSERT_TRUE(Read(*batches, step, &rows).ok());
    EXPECT_EQ(epoch_, step / 4);
    epochs[epoch_].insert(rows.begin(), rows.end());
    const bool mixed = *std::min_element(rows.begin(), rows.end()) < 100 &&
                       *std::max_element(rows.begin(), rows.end()) >= 100;
    // Later ones are mixed more or less.
    if (step <= 4) {
      EXPECT_EQ(mixed, step == 4) << "step " << step;
    }
  }
  EXPECT_EQ(epochs[0].size(), 16u);
  EXPECT_EQ(epochs[1], epochs[0]);
  EXPECT_EQ(epochs[2], epochs[0]);
  ASSERT_TRUE(Read(*batches, 12, &rows).ok());
  EXPECT_TRUE(last_);
}

TEST_F(GrowingBatchesTest, EndsAtTheStepThatTheJobSays) {
  options_.steps = 2;
  Publish(0, 10);
  const auto batches = Open();
  EXPECT_EQ(batches->planned_steps(), 2);
  std::vector<int> rows;
  ASSERT_TRUE(Read(*batches, 1, &rows).ok());
  EXPECT_FALSE(last_);
  EXPECT_TRUE(absl::IsOutOfRange(Read(*batches, 2, &rows)));
}

TEST_F(GrowingBatchesTest, RecordsOfAnotherShapeAreRefused) {
  Publish(0, 4);
  Publish(0, 4, /*pixels=*/5);
  const auto batches = Open();
  std::vector<int> rows;
  EXPECT_THAT(
      std::string(Read(*batches, 1, &rows).message()),
      HasSubstr("segment 2 of pushed dataset train has records of [5]"));
}

TEST_F(GrowingBatchesTest, WithoutAnyRowThereIsNothingToTrainOn) {
  Publish(0, 0);
  ended_ = true;
  GrowingBatches batches(options_);
  EXPECT_THAT(std::string(batches.AwaitFirst(absl::ZeroDuration()).message()),
              HasSubstr("pushed dataset train has ended without a row"));
}

}  // namespace
}  // namespace tfd::data
