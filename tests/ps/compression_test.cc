// Tensors that travel in fewer bits: what is summed, what is answered, what is
// refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  options.memory = {buffers.memory.get()};
  auto exchange =
      Exchange::Open(options, layout, buffers.parameters, TestDeadline());
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

}  // namespace
}  // namespace tfd::ps
