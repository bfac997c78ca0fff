#include "data/batch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>

namespace tfd::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

BatchPlan Plan(BatchPlanOptions options) {
  if (!options.epochs && !options.steps) options.epochs = 1;
  auto plan = BatchPlan::Make(options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *plan;
}

BatchPlanOptions Options(uint64_t records, int64_t batch_size, int64_t slots) {
  BatchPlanOptions options;
  options.records = records;
  options.batch_size = batch_size;
  options.slots = slots;
  return options;
}

TEST(BatchPlanTest, CountsBatchesAndStepsOfMnist) {
  auto options = Options(60000, 64, 2);
  options.epochs = 5;
  const BatchPlan plan = Plan(options);
  EXPECT_EQ(plan.batches_per_epoch(), 938);
  EXPECT_EQ(plan.steps_per_epoch(), 469);
  EXPECT_EQ(plan.total_steps(), 2345);
}

TEST(BatchPlanTest, WhateverComesFirstEndsTraining) {
  auto options = Options(100, 10, 1);
  options.epochs = 3;
  options.steps = 7;
  EXPECT_EQ(Plan(options).total_steps(), 7);
  options.steps = 1000;
  EXPECT_EQ(Plan(options).total_steps(), 30);
  options.epochs.reset();
  EXPECT_EQ(Plan(options).total_steps(), 1000);
}

TEST(BatchPlanTest, MoreEpochsThanCanBeCountedDoNotOverflow) {
  auto options = Options(uint64_t{1} << 62, 1, 1);
  options.epochs = 1000000000;
  EXPECT_EQ(Plan(options).total_steps(), std::numeric_limits<int64_t>::max());
}

TEST(BatchPlanTest, SlotsTakeBatchesInTurn) {
  const BatchPlan plan = Plan(Options(100, 10, 3));  // 10 batches, 4 steps
  EXPECT_EQ(plan.At(0, 0).batch, 0);
  EXPECT_EQ(plan.At(0, 2).batch, 2);
  EXPECT_EQ(plan.At(2, 1).batch, 7);
  EXPECT_FALSE(plan.At(3, 0).idle);
  EXPECT_TRUE(plan.At(3, 1).idle);
  EXPECT_TRUE(plan.At(3, 2).idle);
}

TEST(BatchPlanTest, StepsCountOverEpochs) {
  auto options = Options(100, 10, 3);
  options.epochs = 5;
  const BatchPosition position = Plan(options).At(4 * 2 + 1, 1);
  EXPECT_EQ(position.epoch, 2);
  EXPECT_EQ(position.batch, 4);
}

TEST(BatchPlanTest, TheLastBatchIsShort) {
  const BatchPlan plan = Plan(Options(10, 4, 1));
  std::vector<uint64_t> records;
  plan.Records(0, 2, &records);
  EXPECT_THAT(records, ElementsAre(8, 9));
}

TEST(BatchPlanTest, WithoutShuffleRecordsKeepTheirOrder) {
  const BatchPlan plan = Plan(Options(10, 4, 1));
  std::vector<uint64_t> records;
  plan.Records(3, 1, &records);
  EXPECT_THAT(records, ElementsAre(4, 5, 6, 7));
}

// All records of an epoch as the slots take them.
std::vector<uint64_t> Epoch(const BatchPlan& plan, int64_t epoch) {
  std::vector<uint64_t> all;
  std::vector<uint64_t> records;
  for (int64_t t = 0; t < plan.steps_per_epoch(); ++t) {
    for (int64_t slot = 0; slot < plan.slots(); ++slot) {
      const BatchPosition p = plan.At(epoch * plan.steps_per_epoch() + t, slot);
      EXPECT_EQ(p.epoch, epoch);
      if (p.idle) continue;
      plan.Records(epoch, p.batch, &records);
      all.insert(all.end(), records.begin(), records.end());
    }
  }
  return all;
}

TEST(BatchPlanTest, EveryRecordIsUsedOncePerEpochWhateverTheSlots) {
  for (const uint64_t records : {1, 2, 7, 64, 65, 100, 1009}) {
    for (const int64_t slots : {1, 2, 3, 8}) {
      for (const bool shuffle : {false, true}) {
        auto options = Options(records, 8, slots);
        options.shuffle = shuffle;
        options.epochs = 3;
        const BatchPlan plan = Plan(options);
        for (int64_t epoch = 0; epoch < 3; ++epoch) {
          const auto all = Epoch(plan, epoch);
          EXPECT_EQ(all.size(), records);
          EXPECT_EQ(std::set<uint64_t>(all.begin(), all.end()).size(), records);
        }
      }
    }
  }
}

TEST(BatchPlanTest, ShufflingDependsOnSeedAndEpochAndNotOnSlots) {
  auto options = Options(1000, 8, 2);
  options.shuffle = true;
  options.epochs = 2;
  const auto first = Epoch(Plan(options), 0);
  EXPECT_NE(first, Epoch(Plan(options), 1));
  options.slots = 5;
  EXPECT_EQ(first, Epoch(Plan(options), 0));
  options.seed = 2;
  EXPECT_NE(first, Epoch(Plan(options), 0));
}

TEST(BatchPlanTest, RefusesWhatCannotBePlanned) {
  const auto message = [](BatchPlanOptions options) {
    return std::string(BatchPlan::Make(options).status().message());
  };
  auto options = Options(10, 1, 1);
  EXPECT_THAT(message(options), HasSubstr("stop.epochs or stop.steps"));
  options.epochs = 1;
  EXPECT_EQ(message(options), "");
  options.records = 0;
  EXPECT_THAT(message(options), HasSubstr("records"));
  options = Options(10, 0, 1);
  options.steps = 1;
  EXPECT_THAT(message(options), HasSubstr("batch size"));
  options = Options(10, 1, 0);
  options.steps = 1;
  EXPECT_THAT(message(options), HasSubstr("slots"));
}

TEST(BatchSizeTest, AGlobalBatchIsDividedAmongTheWorkers) {
  v1::DatasetSpec spec;
  EXPECT_FALSE(BatchSizeOf(spec, 2).ok());
  spec.set_global_batch_size(128);
  EXPECT_EQ(*BatchSizeOf(spec, 4), 32);
  EXPECT_THAT(std::string(BatchSizeOf(spec, 3).status().message()),
              HasSubstr("128 does not divide evenly"));
  spec.set_batch_size(10);
  EXPECT_EQ(*BatchSizeOf(spec, 3), 10);
}

TEST(BatchSizeTest, AStepTakesAllBatchesThatAreAccumulated) {
  v1::JobSpec spec;
  spec.mutable_data()->mutable_train()->set_batch_size(10);
  EXPECT_EQ(*StepRecordsOf(spec, 2), 10);
  spec.mutable_strategy()->set_accumulate_steps(4);
  EXPECT_EQ(*StepRecordsOf(spec, 2), 40);
  // The global batch is that of a step, whatever it is made of.
  spec.mutable_data()->mutable_train()->clear_batch_size();
  spec.mutable_data()->mutable_train()->set_global_batch_size(80);
  EXPECT_EQ(*StepRecordsOf(spec, 2), 40);
  spec.mutable_strategy()->set_accumulate_steps(3);
  EXPECT_THAT(std::string(StepRecordsOf(spec, 2).status().message()),
              HasSubstr("do not divide evenly by accumulate_steps, 3"));
}

TEST(BatchPlanTest, ATrainingsPlanFollowsTheSpec) {
  v1::JobSpec spec;
  spec.set_seed(9);
  spec.mutable_data()->mutable_train()->set_batch_size(10);
  spec.mutable_data()->mutable_train()->set_shuffle(true);
  spec.mutable_stop()->set_epochs(2);
  const auto plan = TrainingBatchPlan(spec, 95, 2);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->total_steps(), 10);
  auto options = Options(95, 10, 2);
  options.seed = 9;
  options.shuffle = true;
  EXPECT_EQ(Epoch(*plan, 1), Epoch(Plan(options), 1));
}

}  // namespace
}  // namespace tfd::data
