// A process that takes a worker's place, while the others go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ps/exchange_fixture.h"

namespace tfd::ps {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kSteps = 30;
constexpr int64_t kDiesAt = 11;
constexpr uint64_t kFirst = 2;
constexpr uint64_t kSecond = 77;

class ReplacementTest : public ::testing::TestWithParam<TestTransport> {
 protected:
  ReplacementTest()
      : layout_(TestLayout(2, 2, 64, GetParam())),
        cluster_(folder_.path(), 2, 1, TestSpec(), {}, GetParam()),
        buffers_(layout_.elements()) {
    Tell(kFirst);
  }

  // Which process the membership names as worker/1.
  void Tell(uint64_t incarnation) {
    v1::Membership membership;
    membership.set_generation(1);
    for (const auto& [task, number] :
         {std::make_pair("worker/0", uint64_t{1}),
          std::make_pair("worker/1", incarnation)}) {
      v1::Member* member = membership.add_members();
      member->set_task(task);
      member->set_incarnation(number);
    }
    for (const auto& server : cluster_.servers) {
      server->host().SetMembership(membership);
    }
  }

  ExchangeOptions Options(uint64_t incarnation) {
    ExchangeOptions options = TestExchangeOptions(cluster_, 1, 1, kSteps);
    options.incarnation = incarnation;
    options.memory = buffers_.memory();
    return options;
  }

  std::unique_ptr<Exchange> Open(uint64_t incarnation) {
    auto exchange = Exchange::Open(Options(incarnation), layout_,
                                   buffers_.versions, TestDeadline());
    EXPECT_TRUE(exchange.ok()) << exchange.status();
    if (!exchange.ok()) return nullptr;
    const absl::Status status = (*exchange)->Initialise(TestDeadline());
    EXPECT_TRUE(status.ok()) << status;
    return *std::move(exchange);
  }

  // worker/0, from its first step to its last.
  std::thread OtherWorker(std::vector<float>* result) {
    return std::thread([this, result] {
      auto got = RunWorker(TestExchangeOptions(cluster_, 0, 1, kSteps), layout_,
                           kSteps, Always);
      EXPECT_TRUE(got.ok()) << got.status();
      if (got.ok()) *result = *std::move(got);
    });
  }

  uint64_t Applied() {
    uint64_t applied = 0;
    for (const auto& server : cluster_.servers) {
      applied += server->shard().stats().pushes_applied;
    }
    return applied;
  }

  // Pushes a part of a step, and waits until the shards have it.
  void PushHalf(Exchange& exchange) {
    StepInfo step;
    step.step = kDiesAt;
    step.weight = 64;
    absl::c_copy(TestNumbers(layout_.elements(), 77, kDiesAt, 1),
                 buffers_.gradient.begin());
    ASSERT_TRUE(exchange.BeginStep(step).ok());
    uint64_t pushed = 0;
    for (uint32_t chunk = 0; chunk < layout_.chunks(); chunk += 2) {
      ASSERT_TRUE(exchange
                      .PushChunk(chunk, buffers_.gradient.data() +
                                            layout_.ChunkRange(chunk).begin)
                      .ok());
      ++pushed;
    }
    const uint64_t before = kDiesAt * layout_.chunks();
    const uint64_t of_other = layout_.chunks();
    while (Applied() < 2 * before + of_other + pushed)
      std::this_thread::yield();
  }

  testing::TempFolder folder_;
  const tensor::Layout layout_;
  const TestCluster cluster_;
  const TestBuffers buffers_;
};

std::string CarrierName(const ::testing::TestParamInfo<TestTransport>& info) {
  const char* const names[] = {"Sockets", "Stripes", "Memory"};
  return names[static_cast<int>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(All, ReplacementTest,
                         ::testing::Values(TestTransport::kSockets,
                                           TestTransport::kStripes,
                                           TestTransport::kMemory),
                         CarrierName);

TEST_P(ReplacementTest, AWorkerThatDiesWithinAStepIsReplacedBitForBit) {
  std::vector<float> other;
  std::thread thread = OtherWorker(&other);
  std::unique_ptr<Exchange> exchange = Open(kFirst);
  ASSERT_TRUE(TakeSteps(*exchange, buffers_, 1, kDiesAt, Always).ok());
  PushHalf(*exchange);
  exchange = nullptr;
  Tell(kSecond);
  exchange = Open(kSecond);
  EXPECT_EQ(exchange->step(), kDiesAt);
  const auto result = TakeSteps(*exchange, buffers_, 1, kSteps, Always);
  thread.join();
  ASSERT_TRUE(result.ok()) << result.status();
  const std::vector<float> expected =
      Reference(TestSpec(), layout_, kSteps, Always);
  EXPECT_EQ(*result, expected);
  EXPECT_EQ(other, expected);
  EXPECT_EQ(Applied(), 2 * kSteps * layout_.chunks());
}

TEST_P(ReplacementTest, WhoeverHasLostItsPlaceIsRefused) {
  std::vector<float> other;
  std::thread thread = OtherWorker(&other);
  const std::unique_ptr<Exchange> stale = Open(kFirst);
  ASSERT_TRUE(TakeSteps(*stale, buffers_, 1, kDiesAt, Always).ok());
  Tell(kSecond);
  const absl::Status refused =
      TakeSteps(*stale, buffers_, 1, kSteps, Always).status();
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("another process has taken the place of "));
  const std::unique_ptr<Exchange> exchange = Open(kSecond);
  ASSERT_NE(exchange, nullptr);
  const auto result = TakeSteps(*exchange, buffers_, 1, kSteps, Always);
  thread.join();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(*result, Reference(TestSpec(), layout_, kSteps, Always));
}

TEST_P(ReplacementTest, WhoeverComesBeforeTheMembershipWaitsForIt) {
  const auto early =
      Exchange::Open(Options(kSecond), layout_, buffers_.versions,
                     absl::Now() + absl::Milliseconds(300));
  EXPECT_THAT(std::string(early.status().message()),
              HasSubstr("knows of another process as worker/1"));
  std::vector<float> other;
  std::thread thread = OtherWorker(&other);
  std::thread coordinator([this] { Tell(kSecond); });
  const std::unique_ptr<Exchange> exchange = Open(kSecond);
  coordinator.join();
  ASSERT_NE(exchange, nullptr);
  const auto result = TakeSteps(*exchange, buffers_, 1, kSteps, Always);
  thread.join();
  EXPECT_TRUE(result.ok()) << result.status();
}

}  // namespace
}  // namespace tfd::ps
