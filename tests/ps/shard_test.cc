// The shard without any transport: what is summed, what is refused, what is
// done once.
#include "ps/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "tests/ps/shard_fixture.h"

namespace tfd::ps {
namespace {

using ::testing::HasSubstr;

TEST_F(ShardTest, AStepCompletesWhenEverySlotHasPushed) {
  Make(2, TestSpec());
  Init(1);
  const auto first = Handle(Push(0, 0, 2));
  EXPECT_EQ(first->calls, 0);
  const auto second = Handle(Push(1, 0, 4));
  ASSERT_EQ(first->calls, 1);
  ASSERT_EQ(second->calls, 1);
  EXPECT_EQ(first->header.step, 1u);
  // 1 - 0.1 · (2 + 4) / 2
  EXPECT_FLOAT_EQ(first->parameters[0], 0.7f);
  EXPECT_EQ(first->parameters, second->parameters);
}

TEST_F(ShardTest, SumsAreWeightedByRecords) {
  Make(2, TestSpec());
  Init(0);
  Handle(Push(0, 0, 1, 60));
  const auto answer = Handle(Push(1, 0, 5, 20));  // a short batch
  EXPECT_FLOAT_EQ(answer->parameters[0], -0.1f * (60 * 1 + 20 * 5) / 80);
}

TEST_F(ShardTest, AnIdleSlotHoldsNobodyBackAndCountsForNothing) {
  Make(2, TestSpec());
  Init(0);
  tensor::ReceivedRequest idle = Request(v1::PUSH, 1, 0);
  idle.header.idle = true;
  Handle(std::move(idle));
  EXPECT_FLOAT_EQ(Handle(Push(0, 0, 3, 7))->parameters[0], -0.3f);
}

TEST_F(ShardTest, AStepOfNoWeightAdvancesAndAppliesNothing) {
  v1::JobSpec spec = TestSpec();
  spec.mutable_optimizer()->set_name(v1::OptimizerSpec::ADAM);
  Make(1, spec);
  Init(1);
  tensor::ReceivedRequest idle = Request(v1::PUSH, 0, 0);
  idle.header.idle = true;
  const auto answer = Handle(std::move(idle));
  EXPECT_EQ(answer->header.step, 1u);
  EXPECT_EQ(answer->parameters[0], 1);
  // What follows is adam's first update: its size is the learning rate.
  EXPECT_NEAR(Handle(Push(0, 1, 123))->parameters[0], 0.9f, 1e-5);
}

TEST_F(ShardTest, ARepeatedPushIsAnsweredAndAppliedOnce) {
  Make(2, TestSpec());
  Init(0);
  const auto lost = Handle(Push(0, 0, 1));
  const auto repeated = Handle(Push(0, 0, 1));
  Handle(Push(1, 0, 1));
  // The first one's stream is gone; it is told so.
  EXPECT_EQ(lost->header.code, static_cast<int>(absl::StatusCode::kAborted));
  EXPECT_EQ(repeated->header.code, 0);
  EXPECT_FLOAT_EQ(repeated->parameters[0], -0.1f);
  // Repeated after the step was complete: the same parameters again.
  const auto late = Handle(Push(0, 0, 1));
  EXPECT_EQ(late->header.step, 1u);
  EXPECT_EQ(late->parameters, repeated->parameters);
  EXPECT_EQ(shard_->stats().pushes_applied, 2u);
  EXPECT_EQ(shard_->stats().pushes_repeated, 2u);
  EXPECT_EQ(shard_->step(), 0);  // the other chunks have not moved
}

TEST_F(ShardTest, ARepeatIsNotTakenForAnotherSlot) {
  Make(3, TestSpec());
  Init(0);
  Handle(Push(0, 0, 1));
  Handle(Push(0, 0, 1));
  const auto third = Handle(Push(2, 0, 1));
  EXPECT_EQ(third->calls, 0);
}

TEST_F(ShardTest, DeterministicSumsGoInTheOrderOfSlots) {
  const std::vector<float> values = {1e8f, -1e8f, 3.25f, 1e-3f};
  std::vector<float> results;
  for (const std::vector<uint32_t>& order :
       {std::vector<uint32_t>{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}}) {
    Make(4, TestSpec());
    Init(0);
    std::shared_ptr<Answer> answer;
    for (const uint32_t slot : order) {
      answer = Handle(Push(slot, 0, values[slot]));
    }
    results.push_back(answer->parameters[0]);
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
  // In another order these numbers have another sum.
  v1::JobSpec spec = TestSpec();
  spec.set_deterministic(false);
  Make(4, spec);
  Init(0);
  Handle(Push(3, 0, values[3]));
  Handle(Push(2, 0, values[2]));
  Handle(Push(0, 0, values[0]));
  EXPECT_NE(Handle(Push(1, 0, values[1]))->parameters[0], results[0]);
}

TEST_F(ShardTest, PullWaitsForInitAndForItsStep) {
  Make(1, TestSpec());
  const auto early = Handle(Request(v1::PULL, 0, 0));
  EXPECT_EQ(early->calls, 0);
  Init(5);
  ASSERT_EQ(early->calls, 1);
  EXPECT_EQ(early->parameters[0], 5);
  const auto next = Handle(Request(v1::PULL, 0, 1));
  EXPECT_EQ(next->calls, 0);
  Handle(Push(0, 0, 10));
  ASSERT_EQ(next->calls, 1);
  EXPECT_FLOAT_EQ(next->parameters[0], 4);
}

TEST_F(ShardTest, TheStepBeforeIsKept) {
  Make(1, TestSpec());
  Init(5);
  Handle(Push(0, 0, 10));
  Handle(Push(0, 1, 10));
  EXPECT_FLOAT_EQ(Handle(Request(v1::PULL, 0, 1))->parameters[0], 4);
  EXPECT_FLOAT_EQ(Handle(Request(v1::PULL, 0, 2))->parameters[0], 3);
  ExpectRefused(Request(v1::PULL, 0, 0), absl::StatusCode::kOutOfRange,
                "step: parameters after 0 steps");
}

TEST_F(ShardTest, ParametersOnTheirWayAreNotOverwritten) {
  Make(1, TestSpec());
  Init(5);
  std::vector<ShardReply> held;
  for (uint64_t step = 0; step < 6; ++step) {
    shard_->Handle(Push(0, step, 10),
                   [&](ShardReply reply) { held.push_back(std::move(reply)); });
  }
  ASSERT_EQ(held.size(), 6u);
  for (size_t i = 0; i < held.size(); ++i) {
    EXPECT_FLOAT_EQ(held[i].parameters.span()[0], 4 - static_cast<float>(i));
  }
}

TEST_F(ShardTest, InitIsIgnoredWhereThereAreParameters) {
  Make(1, TestSpec());
  Init(5);
  Handle(Push(0, 0, 10));
  Init(7);
  EXPECT_FLOAT_EQ(Handle(Request(v1::PULL, 0, 1))->parameters[0], 4);
}

TEST_F(ShardTest, WrongRequestsAreRefusedByField) {
  Make(2, TestSpec());
  ExpectRefused(Push(0, 0, 1), absl::StatusCode::kFailedPrecondition, "INIT");
  Init(0);
  using Change = std::function<void(tensor::ReceivedRequest&)>;
  const std::vector<std::pair<Change, std::string>> cases = {
      {[](auto& r) { r.header.chunk = 9; }, "chunk: 9 of 9"},
      {[](auto& r) { r.header.slot = 2; }, "slot: 2"},
      {[](auto& r) { r.header.kind = v1::CHUNK_KIND_UNSPECIFIED; }, "kind"},
      {[](auto& r) { r.header.weight = -1; }, "weight: -1"},
      {[](auto& r) { r.header.weight = std::nan(""); }, "weight: nan"},
      {[](auto& r) {
         r.header.weight = std::numeric_limits<double>::infinity();
       },
       "weight: inf"},
      {[](auto& r) { r.header.idle = true; }, "idle"},
      {[](auto& r) {
         r.payload = PayloadOf({1, 2, 3});
       },
       "payload: 12 bytes"},
      {[](auto& r) { r.payload = tensor::Payload(); }, "payload: 0 bytes"},
      {[](auto& r) { r.header.step = 100; }, "step: 100"},
      {[](auto& r) { r.header.kind = v1::PULL; }, "payload: a PULL"},
      {[](auto& r) {
         r.header.kind = v1::INIT;
         r.header.slot = 1;
       },
       "slot: INIT"}};
  for (const auto& [change, words] : cases) {
    tensor::ReceivedRequest request = Push(0, 0, 1);
    change(request);
    ExpectRefused(std::move(request), absl::StatusCode::kInvalidArgument,
                  words);
  }
  tensor::ReceivedRequest ahead = Push(0, 1, 1);
  ExpectRefused(std::move(ahead), absl::StatusCode::kFailedPrecondition,
                "step: a push for step 1");
  tensor::ReceivedRequest damaged = Push(0, 0, 1);
  damaged.header.payload_crc32c = 12345;
  ExpectRefused(std::move(damaged), absl::StatusCode::kDataLoss,
                "payload_crc32c");
  EXPECT_EQ(shard_->stats().pushes_applied, 0u);
}

TEST_F(ShardTest, AStaleGenerationIsFencedWithBothNamed) {
  Make(1, TestSpec());
  Init(0);
  tensor::ReceivedRequest stale = Push(0, 0, 1);
  stale.header.generation = kShardGeneration - 1;
  ExpectRefused(std::move(stale), absl::StatusCode::kFailedPrecondition,
                "generation: the request is of 2, this shard of 3");
  EXPECT_EQ(shard_->stats().pushes_applied, 0u);
}

TEST_F(ShardTest, SnapshotsAreTakenAtCheckpointStepsAndTheLast) {
  v1::JobSpec spec = TestSpec();
  spec.mutable_optimizer()->set_momentum(0.5);
  Make(1, spec, /*total_steps=*/5, /*every=*/2);
  Init(1);
  for (uint64_t step = 0; step < 5; ++step) Handle(Push(0, step, 1));
  ASSERT_EQ(sink_.taken.size(), 3u);
  EXPECT_EQ(sink_.taken[0].first, 2);
  EXPECT_EQ(sink_.taken[1].first, 4);
  EXPECT_EQ(sink_.taken[2].first, 5);
  // As it was at its step, although training has gone on: v = 1, 1.5, …
  EXPECT_FLOAT_EQ(sink_.taken[0].second.state[0].data()[0], 1.5f);
  EXPECT_FLOAT_EQ(sink_.taken[0].second.parameters.span()[0], 1 - 0.1f - 0.15f);
  EXPECT_EQ(sink_.taken[0].second.updates, 2u);
}

TEST_F(ShardTest, AStepThatSaysItIsTheLastIsACheckpointAndTheEnd) {
  Make(2, TestSpec(), /*total_steps=*/100, /*every=*/0);
  Init(1);
  Handle(Push(0, 0, 1));
  Handle(Push(1, 0, 1));
  EXPECT_TRUE(sink_.taken.empty());
  for (const uint32_t slot : {0u, 1u}) {
    tensor::ReceivedRequest closing = Push(slot, 1, 0);
    closing.header.idle = true;
    closing.header.last = true;
    closing.header.weight = 0;
    closing.payload = {};
    const auto answer = Handle(std::move(closing));
    EXPECT_EQ(answer->calls, slot == 1 ? 1 : 0);
  }
  ASSERT_EQ(sink_.taken.size(), 1u);
  EXPECT_EQ(sink_.taken[0].first, 2);
  // Nothing was applied in it.
  EXPECT_EQ(sink_.taken[0].second.updates, 1u);
  ExpectRefused(Push(0, 2, 1), absl::StatusCode::kInvalidArgument,
                "the training has 2 steps");
}

TEST_F(ShardTest, AnswersOfACheckpointStepWaitForRoom) {
  Make(1, TestSpec(), /*total_steps=*/10, /*every=*/2);
  Init(1);
  sink_.has_room = false;
  EXPECT_EQ(Handle(Push(0, 0, 1))->calls, 1);
  const auto answer = Handle(Push(0, 1, 1));
  EXPECT_EQ(answer->calls, 0);
  ASSERT_EQ(sink_.waiting.size(), 1u);
  sink_.waiting[0].second();
  EXPECT_EQ(answer->calls, 1);
}

TEST_F(ShardTest, ManyThreadsOnTheSameChunksLoseNothing) {
  constexpr int kThreads = 4;
  constexpr uint64_t kSteps = 200;
  v1::JobSpec spec = TestSpec();
  Make(kThreads, spec, kSteps);
  Init(0);
  std::vector<std::thread> threads;
  for (uint32_t slot = 0; slot < kThreads; ++slot) {
    threads.emplace_back([this, slot] {
      absl::Mutex mutex;
      uint32_t answered = 0;
      for (uint64_t step = 0; step < kSteps; ++step) {
        answered = 0;
        for (uint32_t chunk = 0; chunk < layout_->chunks(); ++chunk) {
          shard_->Handle(Push(slot, step, static_cast<float>(slot), 1, chunk),
                         [&](const ShardReply& reply) {
                           absl::MutexLock lock(&mutex);
                           EXPECT_EQ(reply.header.code, 0);
                           EXPECT_EQ(reply.header.step, step + 1);
                           ++answered;
                         });
        }
        absl::MutexLock lock(&mutex);
        const auto done = [&] { return answered == layout_->chunks(); };
        ASSERT_TRUE(
            mutex.AwaitWithTimeout(absl::Condition(&done), kTestTimeout));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shard_->step(), static_cast<int64_t>(kSteps));
  float expected = 0;
  for (uint64_t step = 0; step < kSteps; ++step) {
    expected = expected - 0.1f * (0.25f * 6.0f);
  }
  EXPECT_FLOAT_EQ(Handle(Request(v1::PULL, 0, kSteps))->parameters[0],
                  expected);
}

// ------------------------------------------------------- ssp and async

v1::JobSpec LooseSpec(v1::StrategySpec::Sync sync, int staleness) {
  v1::JobSpec spec = TestSpec();
  spec.set_deterministic(false);
  spec.mutable_strategy()->set_sync(sync);
  spec.mutable_strategy()->set_staleness(staleness);
  return spec;
}

TEST_F(ShardTest, AsyncAppliesEachGradientAsItComes) {
  Make(2, LooseSpec(v1::StrategySpec::ASYNC, 0));
  Init(1);
  const auto first = Handle(Push(0, 0, 2, /*weight=*/64));
  ASSERT_EQ(first->calls, 1);
  EXPECT_EQ(first->header.step, 1u);
  EXPECT_FLOAT_EQ(first->parameters[0], 0.8f);
  // A worker that comes later begins at its own step, with what there is now.
  EXPECT_EQ(shard_->step(), 0);
  const auto pulled = Handle(Request(v1::PULL, 1, 0));
  ASSERT_EQ(pulled->calls, 1);
  EXPECT_FLOAT_EQ(pulled->parameters[0], 0.8f);
  // The other slot is at its step 0 still, and finds what the first has done.
  EXPECT_EQ(Handle(Push(0, 1, 1))->calls, 1);
  const auto other = Handle(Push(1, 0, 1));
  ASSERT_EQ(other->calls, 1);
  EXPECT_EQ(other->header.step, 1u);
  EXPECT_FLOAT_EQ(other->parameters[0], 0.6f);
}

TEST_F(ShardTest, SspHoldsBackWhoIsTooFarAhead) {
  Make(2, LooseSpec(v1::StrategySpec::SSP, 2));
  Init(1);
  EXPECT_EQ(Handle(Push(0, 0, 1))->calls, 1);
  EXPECT_EQ(Handle(Push(0, 1, 1))->calls, 1);
  const auto ahead = Handle(Push(0, 2, 1));
  EXPECT_EQ(ahead->calls, 0) << "slot 1 is at 0: slot 0 may not begin step 3";
  EXPECT_EQ(Handle(Push(1, 0, 1))->calls, 1);
  ASSERT_EQ(ahead->calls, 1);
  EXPECT_EQ(ahead->header.step, 3u);
  EXPECT_FLOAT_EQ(ahead->parameters[0], 0.6f);
}

TEST_F(ShardTest, ARepeatedPushIsAppliedOnceWithoutBspToo) {
  Make(2, LooseSpec(v1::StrategySpec::SSP, 1));
  Init(1);
  EXPECT_EQ(Handle(Push(0, 0, 1))->calls, 1);
  const auto again = Handle(Push(0, 0, 1));
  ASSERT_EQ(again->calls, 1);
  EXPECT_FLOAT_EQ(again->parameters[0], 0.9f);
  const auto waits = Handle(Push(0, 1, 1));
  const auto replaces = Handle(Push(0, 1, 1));
  ASSERT_EQ(waits->calls, 1);
  EXPECT_EQ(waits->header.code, static_cast<int>(absl::StatusCode::kAborted));
  EXPECT_EQ(replaces->calls, 0);
  Handle(Push(1, 0, 1));
  ASSERT_EQ(replaces->calls, 1);
  EXPECT_FLOAT_EQ(replaces->parameters[0], 0.7f);
  ExpectRefused(Push(1, 5, 1), absl::StatusCode::kFailedPrecondition,
                "slot 1 of chunk 0 is at step 1");
}

TEST_F(ShardTest, ACheckpointWithoutBspHoldsTheSameStepsOfAllSlots) {
  Make(2, LooseSpec(v1::StrategySpec::ASYNC, 0), 100, /*every=*/2);
  Init(1);
  EXPECT_EQ(Handle(Push(0, 0, 1))->calls, 1);
  EXPECT_EQ(Handle(Push(0, 1, 1))->calls, 1);
  const auto beyond = Handle(Push(0, 2, 1));
  EXPECT_EQ(beyond->calls, 0) << "slot 1 has not come to step 2 yet";
  EXPECT_EQ(Handle(Push(1, 0, 1))->calls, 1);
  EXPECT_TRUE(sink_.taken.empty());
  const auto last = Handle(Push(1, 1, 1));
  ASSERT_EQ(sink_.taken.size(), 1u);
  EXPECT_EQ(sink_.taken[0].first, 2);
  EXPECT_FLOAT_EQ(sink_.taken[0].second.parameters.span()[0], 0.6f);
  EXPECT_FLOAT_EQ(last->parameters[0], 0.6f);
  ASSERT_EQ(beyond->calls, 1);
  EXPECT_FLOAT_EQ(beyond->parameters[0], 0.5f);
}

// ------------------------------------------------- numbers that are none

v1::JobSpec NanSpec(v1::ExchangeSpec::NanPolicy policy) {
  v1::JobSpec spec = TestSpec();
  spec.mutable_exchange()->set_nan(policy);
  return spec;
}

TEST_F(ShardTest, ANanFailsEverybodyAndNamesTheParameter) {
  Make(2, NanSpec(v1::ExchangeSpec::FAIL));
  Init(1);
  // Chunk 2 is flat 128 to 191: conv.weight's last 7, conv.bias, fc.weight.
  tensor::ReceivedRequest bad = Push(0, 0, 1, 1, 2);
  std::vector<float> values(Elements(2), 1);
  values[9] = std::numeric_limits<float>::quiet_NaN();
  bad.payload = PayloadOf(values);
  const auto first = Handle(std::move(bad));
  const auto second = Handle(Push(1, 0, 1, 1, 2));
  for (const auto& answer : {first, second}) {
    ASSERT_EQ(answer->calls, 1);
    EXPECT_THAT(answer->header.message,
                HasSubstr("the gradient of conv.bias has a NaN"));
  }
  ExpectRefused(Push(0, 0, 1, 1, 2), absl::StatusCode::kFailedPrecondition,
                "conv.bias");
}

TEST_F(ShardTest, ANanIsLeftOutWhereThatIsAllowed) {
  Make(2, NanSpec(v1::ExchangeSpec::SKIP));
  Init(1);
  Handle(Push(0, 0, std::numeric_limits<float>::infinity()));
  const auto skipped = Handle(Push(1, 0, 1));
  ASSERT_EQ(skipped->calls, 1);
  EXPECT_EQ(skipped->header.step, 1u);
  EXPECT_EQ(skipped->parameters[0], 1);
  EXPECT_EQ(shard_->stats().updates_skipped, 1u);
  Handle(Push(0, 1, 1));
  EXPECT_FLOAT_EQ(Handle(Push(1, 1, 1))->parameters[0], 0.9f);
}

TEST_F(ShardTest, ANanIsAppliedWhereThatIsWanted) {
  Make(1, NanSpec(v1::ExchangeSpec::IGNORE));
  Init(1);
  const auto answer = Handle(Push(0, 0, std::nanf("")));
  EXPECT_TRUE(std::isnan(answer->parameters[0]));
}

TEST(CheckpointStepTest, EveryStepsAndTheLast) {
  EXPECT_FALSE(IsCheckpointStep(0, 5, 10));
  EXPECT_FALSE(IsCheckpointStep(4, 5, 10));
  EXPECT_TRUE(IsCheckpointStep(5, 5, 10));
  EXPECT_TRUE(IsCheckpointStep(9, 5, 9));
  EXPECT_FALSE(IsCheckpointStep(5, 0, 9));
  EXPECT_TRUE(IsCheckpointStep(9, 0, 9));
}

}  // namespace
}  // namespace tfd::ps
