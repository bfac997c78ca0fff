// Tensors that travel in fewer bits: what is summed, what is answered, what is
// refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "tests/ps/shard_fixture.h"

namespace tfd::ps {
namespace {

using tensor::NumberType;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

v1::JobSpec SpecWith(v1::ExchangeSpec::Payload payload) {
  v1::JobSpec spec = TestSpec();
  spec.mutable_exchange()->set_payload(payload);
  spec.mutable_exchange()->set_nan(v1::ExchangeSpec::FAIL);
  return spec;
}

// ---------------------------------------------------------------- a shard

class NarrowShardTest : public ShardTest {
 protected:
  tensor::ReceivedRequest PushAs(NumberType type, uint32_t slot, uint64_t step,
                                 float value, uint32_t chunk = 0) {
    tensor::ReceivedRequest push = Push(slot, step, value, 1, chunk);
    push.header.payload_type = type;
    push.payload = PayloadOf(std::vector<float>(Elements(chunk), value), type);
    return push;
  }
};

TEST_F(NarrowShardTest, EachIsAnsweredAsItAskedAndMastersAreFloat32) {
  Make(2, SpecWith(v1::ExchangeSpec::BFLOAT16), 100, /*every=*/1);
  Init(1);
  const auto wide = Handle(Push(0, 0, 0.3f));
  const auto narrow = Handle(PushAs(NumberType::kBfloat16, 1, 0, 0.1f));
  const float rounded = tensor::Bfloat16::Widen(tensor::Bfloat16::Narrow(0.1f));
  ASSERT_NE(rounded, 0.1f);
  const float expected = 1 - 0.1f * (0.5f * (0.3f + rounded));
  EXPECT_EQ(wide->header.payload_type, NumberType::kFloat32);
  EXPECT_THAT(wide->parameters, Each(expected));
  EXPECT_EQ(narrow->header.payload_type, NumberType::kBfloat16);
  EXPECT_THAT(
      narrow->parameters,
      Each(tensor::Bfloat16::Widen(tensor::Bfloat16::Narrow(expected))));
  EXPECT_THAT(sink_.taken[0].second.parameters.span(), Each(expected));
}

TEST_F(NarrowShardTest, APullIsAnsweredInTheTypeItNames) {
  Make(1, SpecWith(v1::ExchangeSpec::FLOAT16));
  Init(0.1f);
  tensor::ReceivedRequest pull = Request(v1::PULL, 0, 0);
  pull.header.payload_type = NumberType::kFloat16;
  EXPECT_THAT(Handle(std::move(pull))->parameters,
              Each(tensor::Float16::Widen(tensor::Float16::Narrow(0.1f))));
  EXPECT_THAT(Handle(Request(v1::PULL, 0, 0))->parameters, Each(0.1f));
}

TEST_F(NarrowShardTest, WhatIsNotOfTheJobsTypeIsRefusedByField) {
  Make(1, SpecWith(v1::ExchangeSpec::BFLOAT16), 100, 0, /*buffers=*/1);
  Init(1);
  const auto invalid = absl::StatusCode::kInvalidArgument;
  ExpectRefused(PushAs(NumberType::kFloat16, 0, 0, 1), invalid,
                "payload_type: float16 for a PUSH of chunk 0, but this job's "
                "exchange.payload is bfloat16");
  tensor::ReceivedRequest pull = Request(v1::PULL, 0, 0);
  pull.header.payload_type = NumberType::kFloat16;
  ExpectRefused(std::move(pull), invalid, "payload_type: float16 for a PULL");
  tensor::ReceivedRequest init = PushAs(NumberType::kBfloat16, 0, 0, 1);
  init.header.kind = v1::INIT;
  ExpectRefused(std::move(init), invalid, "payload_type: bfloat16 for a INIT");
  // The last chunk has a buffer.
  ExpectRefused(PushAs(NumberType::kBfloat16, 0, 0, 1, 8), invalid,
                "payload_type: bfloat16 for a PUSH of chunk 8");
  tensor::ReceivedRequest wide = Push(0, 0, 1);
  wide.header.payload_type = NumberType::kBfloat16;
  ExpectRefused(std::move(wide), invalid,
                "payload: 256 bytes, but chunk 0 has 128 as bfloat16");
  EXPECT_EQ(Handle(PushAs(NumberType::kBfloat16, 0, 0, 1))->header.code, 0);
}

TEST_F(NarrowShardTest, AnOverflowNamesTheParameterAndBfloat16) {
  Make(1, SpecWith(v1::ExchangeSpec::FLOAT16));
  Init(1);
  const auto answer = Handle(PushAs(NumberType::kFloat16, 0, 0, 70000));
  EXPECT_THAT(answer->header.message,
              AllOf(HasSubstr("the gradient of conv.weight has"),
                    HasSubstr("exchange.payload: bfloat16")));
  Make(1, SpecWith(v1::ExchangeSpec::BFLOAT16));
  Init(1);
  EXPECT_EQ(Handle(PushAs(NumberType::kBfloat16, 0, 0, 70000))->header.code, 0);
}

// ------------------------------------------------------------ an exchange

class NarrowExchangeTest
    : public ::testing::TestWithParam<
          std::tuple<TestTransport, v1::ExchangeSpec::Payload>> {
 protected:
  TestTransport transport() const { return std::get<0>(GetParam()); }
  v1::JobSpec Spec() const { return SpecWith(std::get<1>(GetParam())); }
  TestCluster Cluster(const v1::JobSpec& spec) {
    return TestCluster(folder_.path(), 2, 1, spec, {}, transport());
  }
  testing::TempFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(
    All, NarrowExchangeTest,
    ::testing::Combine(::testing::Values(TestTransport::kSockets,
                                         TestTransport::kMemory,
                                         TestTransport::kOwnShards),
                       ::testing::Values(v1::ExchangeSpec::BFLOAT16,
                                         v1::ExchangeSpec::FLOAT16)));

TEST_P(NarrowExchangeTest, WorkersGetTheRoundedParametersOfTheReference) {
  v1::JobSpec spec = Spec();
  spec.mutable_optimizer()->set_name(v1::OptimizerSpec::ADAM);
  const tensor::Layout layout = TestLayout(2, 2, 64, transport());
  const auto part_of = [](int64_t step, uint32_t slot) -> Part {
    if (step % 4 == 3 && slot == 1) return {0, true};
    return {slot == 0 ? 7.0 : 64.0, false};
  };
  const std::vector<float> expected = Reference(spec, layout, 20, part_of);
  for (const bool deterministic : {true, false}) {
    spec.set_deterministic(deterministic);
    const TestCluster cluster = Cluster(spec);
    const auto results = RunWorkers(cluster, layout, 1, 20, 20, part_of);
    EXPECT_EQ(results[0], results[1]);
    // Two numbers have one sum, in either order.
    EXPECT_EQ(results[0], expected);
  }
}

TEST_P(NarrowExchangeTest, BuffersTravelAsTheyAre) {
  const tensor::Layout layout =
      TestLayout(2, 2, 64, transport(), /*buffers=*/2);
  const TestCluster cluster = Cluster(Spec());
  const auto results = RunWorkers(cluster, layout, 1, 3, 3, Always);
  const std::vector<float> sent = TestNumbers(layout.elements(), 77, 2, 0);
  for (const auto& result : results) {
    for (size_t i = layout.buffers_begin(); i < sent.size(); ++i) {
      EXPECT_EQ(result[i], sent[i]) << i;
    }
  }
}

TEST_P(NarrowExchangeTest, AResumedJobSeesWhatAnUndisturbedOneSees) {
  if (transport() == TestTransport::kOwnShards) return;
  v1::JobSpec spec = Spec();
  spec.mutable_checkpoint()->set_every_steps(6);
  const tensor::Layout layout = TestLayout(2, 2);
  v1::CheckpointRef checkpoint;
  std::vector<float> at_checkpoint;
  std::vector<float> expected;
  {
    const TestCluster cluster = Cluster(spec);
    at_checkpoint = RunWorkers(cluster, layout, 1, 20, 12, Always)[0];
    checkpoint = Commit(cluster, 12, /*snapshots=*/2);
  }
  expected = Reference(spec, layout, 20, Always);
  const TestCluster cluster(folder_.path(), 2, 2, spec, checkpoint,
                            transport());
  EXPECT_EQ(RunWorkers(cluster, layout, 2, 20, 12, Always)[1], at_checkpoint);
  EXPECT_EQ(RunWorkers(cluster, layout, 2, 20, 20, Always)[1], expected);
}

TEST_P(NarrowExchangeTest, HalfOfTheBytesAreSent) {
  const v1::JobSpec spec = Spec();
  const int shards = transport() == TestTransport::kOwnShards ? 1 : 2;
  const tensor::Layout layout = TestLayout(1, shards, 64, transport());
  const TestCluster cluster(folder_.path(), shards, 1, spec, {}, transport());
  const TestBuffers buffers(layout.elements());
  ExchangeOptions options = TestExchangeOptions(cluster, 0, 1, 5);
  options.memory = buffers.memory();
  auto exchange =
      Exchange::Open(options, layout, buffers.versions, TestDeadline());
  ASSERT_TRUE(exchange.ok()) << exchange.status();
  ASSERT_TRUE((*exchange)->Initialise(TestDeadline()).ok());
  const ExchangeStats before = (*exchange)->stats();
  ASSERT_TRUE((*exchange)->BeginStep({0, 64, 0, false}).ok());
  ASSERT_TRUE((*exchange)->PushAll(buffers.gradient.data()).ok());
  // The gradient has been copied: the next one may be computed into its place.
  std::fill(buffers.gradient.begin(), buffers.gradient.end(), 1000);
  ASSERT_TRUE((*exchange)->WaitStep(TestDeadline()).ok());
  const ExchangeStats after = (*exchange)->stats();
  const uint64_t bytes = layout.elements() * sizeof(uint16_t);
  EXPECT_EQ(after.bytes_copied - before.bytes_copied, bytes);
  // Calls have no wire.
  if (transport() == TestTransport::kOwnShards) return;
  const uint64_t headers = 100 * layout.chunks();
  EXPECT_GT(after.bytes_sent - before.bytes_sent, bytes);
  EXPECT_LT(after.bytes_sent - before.bytes_sent, bytes + headers);
  EXPECT_LT(after.bytes_received - before.bytes_received, bytes + headers);
}

// ------------------------------------------------------------------ top-k

tensor::ReceivedRequest EntriesOf(tensor::ReceivedRequest push,
                                  const std::vector<uint32_t>& places,
                                  const std::vector<float>& values) {
  push.header.entries = static_cast<uint32_t>(places.size());
  auto bytes = std::make_shared<std::vector<std::byte>>(8 * places.size());
  std::memcpy(bytes->data(), places.data(), 4 * places.size());
  std::memcpy(bytes->data() + 4 * places.size(), values.data(),
              4 * places.size());
  push.payload = tensor::Payload({*bytes}, bytes);
  return push;
}

TEST_F(NarrowShardTest, EntriesAreScatteredAndTheOthersAreZero) {
  for (const bool deterministic : {true, false}) {
    v1::JobSpec spec = TestSpec();
    spec.set_deterministic(deterministic);
    Make(2, spec);
    Init(1);
    Handle(EntriesOf(Push(0, 0, 0), {0, 5, 63}, {1, 2, 4}));
    const auto answer = Handle(EntriesOf(Push(1, 0, 0), {5, 6}, {2, 8}));
    ASSERT_EQ(answer->header.code, 0) << answer->header.message;
    std::vector<float> sum(64);
    sum[0] = 1;
    sum[5] = 4;
    sum[6] = 8;
    sum[63] = 4;
    for (size_t i = 0; i < sum.size(); ++i) {
      EXPECT_EQ(answer->parameters[i], 1 - 0.1f * (0.5f * sum[i])) << i;
    }
  }
}

TEST_F(NarrowShardTest, MalformedEntriesAreRefusedByField) {
  Make(1, TestSpec(), 100, 0, /*buffers=*/1);
  Init(1);
  const auto invalid = absl::StatusCode::kInvalidArgument;
  ExpectRefused(EntriesOf(Push(0, 0, 0), {5, 64}, {1, 1}), invalid,
                "payload: the place 64 of entry 1 is not in 6 to 63");
  ExpectRefused(EntriesOf(Push(0, 0, 0, 1, 8), {0}, {1}), invalid,
                "entries: 1 for a PUSH of chunk 8");
  tensor::ReceivedRequest init = EntriesOf(Push(0, 0, 0), {0}, {1});
  init.header.kind = v1::INIT;
  ExpectRefused(std::move(init), invalid, "entries: 1 for a INIT");
  EXPECT_EQ(shard_->stats().pushes_applied, 0u);
}

class TopKExchangeTest : public ::testing::TestWithParam<TestTransport> {
 protected:
  std::vector<std::vector<float>> Run(const v1::JobSpec& spec, int64_t steps,
                                      size_t buffers = 0) {
    const tensor::Layout layout = TestLayout(2, 2, 64, GetParam(), buffers);
    const TestCluster cluster(folder_.path(), 2, ++generation_, spec, {},
                              GetParam());
    return RunWorkers(cluster, layout, generation_, steps, steps, Always);
  }
  static v1::JobSpec TopK(double top_k) {
    v1::JobSpec spec = TestSpec();
    spec.mutable_exchange()->set_top_k(top_k);
    return spec;
  }
  testing::TempFolder folder_;
  uint64_t generation_ = 0;
};

INSTANTIATE_TEST_SUITE_P(All, TopKExchangeTest,
                         ::testing::Values(TestTransport::kSockets,
                                           TestTransport::kMemory,
                                           TestTransport::kOwnShards));

TEST_P(TopKExchangeTest, AllOfItIsTheSameAsNoTopK) {
  EXPECT_EQ(Run(TopK(1), 5), Run(TestSpec(), 5));
}

// One step of sgd from known parameters: which have moved, and by how much.
TEST_P(TopKExchangeTest, TheLargestOfEachChunkMoveTheParameters) {
  const auto results = Run(TopK(0.1), 1, /*buffers=*/1);
  EXPECT_EQ(results[0], results[1]);
  const tensor::Layout layout = TestLayout(2, 2);
  const std::vector<float> start = TestNumbers(layout.elements(), 0);
  const std::vector<float> g[] = {TestNumbers(layout.elements(), 77, 0, 0),
                                  TestNumbers(layout.elements(), 77, 0, 1)};
  // The last chunk has a buffer, and is sent as it is.
  for (uint32_t chunk = 0; chunk + 1 < layout.chunks(); ++chunk) {
    const tensor::FlatRange range = layout.ChunkRange(chunk);
    std::vector<float> sum(range.elements());
    for (const std::vector<float>& of_slot : g) {
      std::vector<float> magnitudes;
      for (size_t i = range.begin; i < range.end; ++i) {
        magnitudes.push_back(std::abs(of_slot[i]));
      }
      // ceil(0.1 · 64) of them.
      std::nth_element(magnitudes.begin(), magnitudes.begin() + 6,
                       magnitudes.end(), std::greater<>());
      for (size_t i = range.begin; i < range.end; ++i) {
        if (std::abs(of_slot[i]) < magnitudes[6]) continue;
        sum[i - range.begin] += 64 * of_slot[i];
      }
    }
    for (size_t i = 0; i < sum.size(); ++i) {
      const size_t at = range.begin + i;
      EXPECT_EQ(results[0][at], start[at] - 0.1f * (sum[i] / 128)) << at;
    }
  }
  EXPECT_EQ(results[0].back(), g[0].back());
}

// With the same gradient at every step each number is sent sooner or later, and
// then with all that was held back.
TEST_P(TopKExchangeTest, WhatIsNotSentComesLater) {
  constexpr int64_t kSteps = 200;
  v1::JobSpec spec = TopK(0.1);
  spec.mutable_exchange()->set_payload(v1::ExchangeSpec::BFLOAT16);
  const int shards = GetParam() == TestTransport::kOwnShards ? 1 : 2;
  const tensor::Layout layout = TestLayout(1, shards, 64, GetParam());
  const TestCluster cluster(folder_.path(), shards, 1, spec, {}, GetParam());
  const TestBuffers buffers(layout.elements());
  ExchangeOptions options = TestExchangeOptions(cluster, 0, 1, kSteps);
  options.memory = buffers.memory();
  auto exchange =
      Exchange::Open(options, layout, buffers.versions, TestDeadline());
  ASSERT_TRUE(exchange.ok()) << exchange.status();
  ASSERT_TRUE((*exchange)->Initialise(TestDeadline()).ok());
  const std::vector<float> gradient = TestNumbers(layout.elements(), 5);
  uint64_t sent = (*exchange)->stats().bytes_sent;
  for (int64_t t = 0; t < kSteps; ++t) {
    absl::c_copy(gradient, buffers.gradient.begin());
    ASSERT_TRUE((*exchange)->BeginStep({t, 64, 0, false}).ok());
    ASSERT_TRUE((*exchange)->PushAll(buffers.gradient.data()).ok());
    ASSERT_TRUE((*exchange)->WaitStep(TestDeadline()).ok());
  }
  for (size_t i = 0; i < gradient.size(); ++i) {
    const float all = -0.1f * static_cast<float>(kSteps) * gradient[i];
    // A number waits until it is larger than about 5; the rest is rounding.
    EXPECT_NEAR(buffers.parameters(**exchange)[i], all, 0.1 * 5 + 0.2) << i;
  }
  if (GetParam() == TestTransport::kOwnShards) return;
  sent = ((*exchange)->stats().bytes_sent - sent) / kSteps;
  EXPECT_LT(sent, layout.chunks() * (7 * 6 + 60));
}

TEST_P(TopKExchangeTest, NothingIsSentTwiceWhenConnectionsAreLost) {
  const v1::JobSpec spec = TopK(0.1);
  const tensor::Layout layout = TestLayout(2, 2, 64, GetParam());
  const TestCluster cluster(folder_.path(), 2, 1, spec, {}, GetParam());
  absl::Mutex mutex;
  const auto part_of = [&](int64_t step, uint32_t slot) -> Part {
    if (slot == 1 && step % 10 == 5) {
      absl::MutexLock lock(&mutex);
      for (const auto& server : cluster.servers) {
        server->StopServer();
        server->Start();
      }
    }
    return {64, false};
  };
  const auto results = RunWorkers(cluster, layout, 1, 30, 30, part_of);
  generation_ = 1;
  EXPECT_EQ(results, Run(spec, 30));
}

}  // namespace
}  // namespace tfd::ps
