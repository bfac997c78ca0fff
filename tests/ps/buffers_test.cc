// The end of the key space that is not trained: batch norm's statistics.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/ps/shard_fixture.h"

namespace tfd::ps {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

// fc.bias and scalar: flat 497 to 515.
constexpr size_t kBuffers = 2;
// Flat 448 to 512: the first 49 are trained.
constexpr uint32_t kMixed = 7;
constexpr size_t kTrained = 49;
// The last one has nothing but buffers.
constexpr uint32_t kBuffersOnly = 8;

v1::JobSpec SpecWith(bool deterministic,
                     v1::ExchangeSpec::NanPolicy nan = v1::ExchangeSpec::FAIL) {
  v1::JobSpec spec = TestSpec();
  spec.set_deterministic(deterministic);
  spec.mutable_exchange()->set_nan(nan);
  spec.mutable_optimizer()->set_momentum(0.5);
  return spec;
}

class BuffersTest : public ShardTest {
 protected:
  void MakeWithBuffers(const v1::JobSpec& spec, int64_t every = 0) {
    Make(2, spec, 100, every, kBuffers);
    Init(1);
  }
  static std::vector<float> Trained(const Answer& answer) {
    return {answer.parameters.begin(), answer.parameters.begin() + kTrained};
  }
  static std::vector<float> Buffers(const Answer& answer) {
    return {answer.parameters.begin() + kTrained, answer.parameters.end()};
  }
};

// How a push comes: over a socket, and summed on arrival or in the order of
// slots, or in the worker's memory.
enum class Way { kSummedOnArrival, kDeterministic, kInPlace };

class BuffersOnEachWayTest : public BuffersTest,
                             public ::testing::WithParamInterface<Way> {
 protected:
  void SetUp() override {
    MakeWithBuffers(SpecWith(GetParam() == Way::kDeterministic), 1);
  }
  tensor::ReceivedRequest PushThatWay(uint32_t slot, uint64_t step, float value,
                                      double weight, uint32_t chunk) {
    tensor::ReceivedRequest push = Push(slot, step, value, weight, chunk);
    if (GetParam() != Way::kInPlace) return push;
    auto owner = std::make_shared<std::vector<float>>(Elements(chunk), value);
    push.payload = tensor::Payload::InPlace(tensor::AsBytes(*owner), {}, owner);
    return push;
  }
};

INSTANTIATE_TEST_SUITE_P(All, BuffersOnEachWayTest,
                         ::testing::Values(Way::kSummedOnArrival,
                                           Way::kDeterministic, Way::kInPlace));

TEST_P(BuffersOnEachWayTest, AreWhatSlot0HasSentWithItsStep) {
  for (uint64_t step = 0; step < 3; ++step) {
    const float sent = 10 + static_cast<float>(step);
    for (const uint32_t chunk : {kMixed, kBuffersOnly}) {
      // In one order and in the other; weights say nothing about buffers.
      const uint32_t first = step % 2;
      Handle(PushThatWay(first, step, first == 0 ? sent : 4, 64, chunk));
      const auto answer = Handle(
          PushThatWay(1 - first, step, first == 1 ? sent : 4, 64, chunk));
      ASSERT_EQ(answer->header.code, 0) << answer->header.message;
      if (chunk == kBuffersOnly) {
        EXPECT_THAT(answer->parameters, Each(sent));
      } else {
        EXPECT_THAT(Buffers(*answer), Each(sent));
        EXPECT_EQ(Trained(*answer).size(), kTrained);
        if (step == 0) {
          EXPECT_THAT(Trained(*answer), Each(1 - 0.1f * 7));
        }
      }
    }
  }
  // The optimizer has seen nothing of them.
  ASSERT_EQ(sink_.taken.size(), 6u);
  const tensor::FloatBuffer& state = sink_.taken[0].second.state[0];
  EXPECT_THAT(state.span().subspan(0, kTrained), Each(7));
  EXPECT_THAT(state.span().subspan(kTrained), Each(0));
  EXPECT_THAT(sink_.taken[1].second.state[0].span(), Each(0));
}

TEST_P(BuffersOnEachWayTest, StayWhereSlot0IsIdle) {
  Handle(PushThatWay(1, 0, 4, 64, kMixed));
  Handle(PushThatWay(0, 0, 9, 64, kMixed));
  tensor::ReceivedRequest idle = Request(v1::PUSH, 0, 1, kMixed);
  idle.header.idle = true;
  Handle(std::move(idle));
  const auto answer = Handle(PushThatWay(1, 1, 4, 64, kMixed));
  ASSERT_EQ(answer->calls, 1);
  EXPECT_THAT(Buffers(*answer), Each(9));
  EXPECT_LT(Trained(*answer)[0], 0);
}

TEST_P(BuffersOnEachWayTest, OfSlot0MustBeNumbersAndThoseOfOthersNeedNot) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Handle(PushThatWay(0, 0, 1, 1, kBuffersOnly));
  EXPECT_THAT(Handle(PushThatWay(1, 0, nan, 1, kBuffersOnly))->parameters,
              Each(1));
  Handle(PushThatWay(1, 1, 1, 1, kBuffersOnly));
  const auto answer = Handle(PushThatWay(0, 1, nan, 1, kBuffersOnly));
  EXPECT_THAT(answer->header.message,
              HasSubstr("the buffer fc.bias has a NaN"));
}

TEST_F(BuffersTest, WithANanAreLeftOutWhereThatIsAllowed) {
  MakeWithBuffers(SpecWith(false, v1::ExchangeSpec::SKIP));
  tensor::ReceivedRequest bad = Push(0, 0, 1, 1, kMixed);
  std::vector<float> values(Elements(kMixed), 3);
  values[kTrained] = std::numeric_limits<float>::infinity();
  bad.payload = PayloadOf(values);
  Handle(std::move(bad));
  const auto skipped = Handle(Push(1, 0, 3, 1, kMixed));
  EXPECT_THAT(skipped->parameters, Each(1));
  EXPECT_EQ(shard_->stats().updates_skipped, 1u);
  Handle(Push(1, 1, 3, 1, kMixed));
  EXPECT_THAT(Buffers(*Handle(Push(0, 1, 5, 1, kMixed))), Each(5));
}

TEST_F(BuffersTest, AreSetBySlot0AloneWithoutBspToo) {
  v1::JobSpec spec = SpecWith(false);
  spec.mutable_strategy()->set_sync(v1::StrategySpec::ASYNC);
  MakeWithBuffers(spec);
  EXPECT_THAT(Buffers(*Handle(Push(1, 0, 4, 1, kMixed))), Each(1));
  EXPECT_THAT(Buffers(*Handle(Push(0, 0, 6, 1, kMixed))), Each(6));
  EXPECT_THAT(Buffers(*Handle(Push(1, 1, 4, 1, kMixed))), Each(6));
}

}  // namespace
}  // namespace tfd::ps
