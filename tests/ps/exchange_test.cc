#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ps/exchange_fixture.h"

namespace tfd::ps {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

class ExchangeTest : public ::testing::Test {
 protected:
  testing::TempFolder folder_;
};

// The same whatever carries the tensors.
class TransportTest : public ::testing::TestWithParam<TestTransport> {
 protected:
  tensor::Layout Layout(int workers, int shards) {
    return TestLayout(workers, shards, 64, GetParam());
  }
  TestCluster Cluster(int shards, const v1::JobSpec& spec) {
    return TestCluster(folder_.path(), shards, 1, spec, {}, GetParam());
  }
  // Own shards are as many as workers.
  int Shards(int shards, int workers) {
    return GetParam() == TestTransport::kOwnShards ? workers : shards;
  }
  testing::TempFolder folder_;
};

std::string TransportName(
    const ::testing::TestParamInfo<TestTransport>& transport) {
  const char* const names[] = {"Sockets", "Stripes", "Memory", "OwnShards"};
  return names[static_cast<int>(transport.param)];
}

INSTANTIATE_TEST_SUITE_P(All, TransportTest,
                         ::testing::Values(TestTransport::kSockets,
                                           TestTransport::kStripes,
                                           TestTransport::kMemory,
                                           TestTransport::kOwnShards),
                         TransportName);

TEST_P(TransportTest, TwoWorkersAndOneShardEqualASequentialReference) {
  const v1::JobSpec spec = TestSpec();
  const int shards = Shards(1, 2);
  const tensor::Layout layout = Layout(2, shards);
  const TestCluster cluster = Cluster(shards, spec);
  const auto results = RunWorkers(cluster, layout, 1, 20, 20, Always);
  const std::vector<float> expected = Reference(spec, layout, 20, Always);
  EXPECT_EQ(results[0], expected);
  EXPECT_EQ(results[1], expected);
}

TEST_P(TransportTest, FourWorkersAndThreeShardsWithAdamEqualTheReference) {
  v1::JobSpec spec = TestSpec();
  spec.mutable_optimizer()->set_name(v1::OptimizerSpec::ADAM);
  spec.mutable_optimizer()->mutable_schedule()->set_name(
      v1::ScheduleSpec::COSINE);
  const int shards = Shards(3, 4);
  const tensor::Layout layout = Layout(4, shards);
  const TestCluster cluster = Cluster(shards, spec);
  const auto results = RunWorkers(cluster, layout, 1, 15, 15, Always);
  const std::vector<float> expected = Reference(spec, layout, 15, Always);
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST_P(TransportTest, ShortAndIdleBatchesAreWeightedRight) {
  const auto part_of = [](int64_t step, uint32_t slot) -> Part {
    if (step % 4 == 3 && slot > 0) return {0, true};
    if (step % 5 == 4) return {0, true};  // nobody has anything
    return {slot == 2 ? 7.0 : 64.0, false};
  };
  const v1::JobSpec spec = TestSpec();
  const int shards = Shards(2, 3);
  const tensor::Layout layout = Layout(3, shards);
  const TestCluster cluster = Cluster(shards, spec);
  const auto results = RunWorkers(cluster, layout, 1, 20, 20, part_of);
  const std::vector<float> expected = Reference(spec, layout, 20, part_of);
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST_P(TransportTest, LostConnectionsAreReopenedAndNothingIsAppliedTwice) {
  constexpr int64_t kSteps = 40;
  const v1::JobSpec spec = TestSpec();
  const tensor::Layout layout = Layout(2, 2);
  const TestCluster cluster = Cluster(2, spec);
  // Cuts all connections to both shards at some steps, in the middle of it:
  // slot 1 pushes only after the cut, so slot 0's pushes are unanswered.
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
  const auto results = RunWorkers(cluster, layout, 1, kSteps, kSteps, part_of);
  const std::vector<float> expected = Reference(spec, layout, kSteps, Always);
  EXPECT_EQ(results[0], expected);
  EXPECT_EQ(results[1], expected);
  uint64_t applied = 0;
  for (const auto& server : cluster.servers) {
    applied += server->shard().stats().pushes_applied;
  }
  EXPECT_EQ(applied, kSteps * layout.slots() * layout.chunks());
}

TEST_F(ExchangeTest, ParametersAreCopiedOnceAndGradientsNever) {
  constexpr int64_t kSteps = 3;
  const tensor::Layout layout = TestLayout(1, 1);
  const TestCluster cluster(folder_.path(), 1, 1, TestSpec());
  std::vector<float> parameters = TestNumbers(layout.elements(), 0);
  const std::vector<float> gradient = TestNumbers(layout.elements(), 1);
  auto exchange =
      Exchange::Open(TestExchangeOptions(cluster, 0, 1, kSteps), layout,
                     TestVersions(parameters), TestDeadline());
  ASSERT_TRUE(exchange.ok()) << exchange.status();
  ASSERT_TRUE((*exchange)->Initialise(TestDeadline()).ok());
  const uint64_t bytes = layout.elements() * sizeof(float);
  EXPECT_EQ((*exchange)->stats().bytes_copied, bytes);
  for (int64_t t = 0; t < kSteps; ++t) {
    ASSERT_TRUE((*exchange)->BeginStep({t, 64, 0, false}).ok());
    // Some by themselves, in any order; the rest by PushAll.
    for (const uint32_t chunk : {4u, 2u}) {
      const float* at = gradient.data() + layout.ChunkRange(chunk).begin;
      ASSERT_TRUE((*exchange)->PushChunk(chunk, at).ok());
      EXPECT_FALSE((*exchange)->PushChunk(chunk, at).ok());
    }
    ASSERT_TRUE((*exchange)->PushAll(gradient.data()).ok());
    ASSERT_TRUE((*exchange)->WaitStep(TestDeadline()).ok());
  }
  const ExchangeStats stats = (*exchange)->stats();
  EXPECT_EQ(stats.steps, kSteps);
  EXPECT_EQ(stats.bytes_copied, (1 + kSteps) * bytes);
  EXPECT_GT(stats.bytes_sent, (1 + kSteps) * bytes);
  EXPECT_LT(stats.bytes_sent, (1 + kSteps) * (bytes + 100 * layout.chunks()));
  EXPECT_GT(stats.bytes_received, (1 + kSteps) * bytes);
}

TEST_F(ExchangeTest, WaitStepNamesWhatItWaitsFor) {
  const tensor::Layout layout = TestLayout(2, 2);
  const TestCluster cluster(folder_.path(), 2, 1, TestSpec());
  std::vector<float> parameters = TestNumbers(layout.elements(), 0);
  auto exchange = Exchange::Open(TestExchangeOptions(cluster, 0, 1, 5), layout,
                                 TestVersions(parameters), TestDeadline());
  ASSERT_TRUE(exchange.ok()) << exchange.status();
  ASSERT_TRUE((*exchange)->Initialise(TestDeadline()).ok());
  ASSERT_TRUE((*exchange)->BeginStep({0, 64, 0, false}).ok());
  ASSERT_TRUE((*exchange)->PushAll(parameters.data()).ok());
  // The other worker never comes.
  const absl::Status status =
      (*exchange)->WaitStep(absl::Now() + absl::Milliseconds(1));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("step 0 of worker/0 waits for ps/0 (unix:"),
                    HasSubstr("chunks 0, 2, 4, 6 and 1 more"),
                    HasSubstr("another worker has not pushed its part yet"),
                    HasSubstr("ps/1")));
}

TEST_F(ExchangeTest, AShardThatStaysAwayIsNamed) {
  const tensor::Layout layout = TestLayout(1, 2);
  const TestCluster cluster(folder_.path(), 2, 1, TestSpec());
  std::vector<float> parameters = TestNumbers(layout.elements(), 0);
  ExchangeOptions options = TestExchangeOptions(cluster, 0, 1, 5);
  options.reconnect_timeout = absl::Milliseconds(200);
  auto exchange =
      Exchange::Open(options, layout, TestVersions(parameters), TestDeadline());
  ASSERT_TRUE(exchange.ok()) << exchange.status();
  ASSERT_TRUE((*exchange)->Initialise(TestDeadline()).ok());
  cluster.servers[1]->StopServer();
  ASSERT_TRUE((*exchange)->BeginStep({0, 64, 0, false}).ok());
  const absl::Status pushed = (*exchange)->PushAll(parameters.data());
  const absl::Status status =
      pushed.ok() ? (*exchange)->WaitStep(TestDeadline()) : pushed;
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("ps/1 (unix:"), HasSubstr("out of reach for")));
  // It is kept: whatever comes afterwards says the same.
  EXPECT_EQ((*exchange)->BeginStep({1, 64, 0, false}), status);
}

TEST_F(ExchangeTest, AShardThatWasRestartedEmptyIsNotTakenForTheOldOne) {
  const tensor::Layout layout = TestLayout(1, 1);
  TestCluster cluster(folder_.path(), 1, 1, TestSpec());
  std::vector<float> parameters = TestNumbers(layout.elements(), 0);
  auto exchange = Exchange::Open(TestExchangeOptions(cluster, 0, 1, 5), layout,
                                 TestVersions(parameters), TestDeadline());
  ASSERT_TRUE(exchange.ok()) << exchange.status();
  ASSERT_TRUE((*exchange)->Initialise(TestDeadline()).ok());
  cluster.servers.clear();
  const TestCluster restarted(folder_.path(), 1, 1, TestSpec());
  ASSERT_TRUE((*exchange)->BeginStep({0, 64, 0, false}).ok());
  const absl::Status pushed = (*exchange)->PushAll(parameters.data());
  const absl::Status status =
      pushed.ok() ? (*exchange)->WaitStep(TestDeadline()) : pushed;
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("came back without what it had"));
}

TEST_F(ExchangeTest, ADifferentLayoutIsRefusedWithTheDifference) {
  const TestCluster cluster(folder_.path(), 1, 1, TestSpec());
  const tensor::Layout layout = TestLayout(2, 1);
  std::vector<float> parameters(layout.elements());
  auto first = Exchange::Open(TestExchangeOptions(cluster, 0, 1, 5), layout,
                              TestVersions(parameters), TestDeadline());
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = Exchange::Open(TestExchangeOptions(cluster, 1, 1, 5),
                                     TestLayout(2, 1, 32),
                                     TestVersions(parameters), TestDeadline());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr("ps/0"), HasSubstr("worker/1"),
                    HasSubstr("chunk_elements: 32 against 64")));
  const auto longer =
      Exchange::Open(TestExchangeOptions(cluster, 1, 1, 6), layout,
                     TestVersions(parameters), TestDeadline());
  EXPECT_THAT(std::string(longer.status().message()),
              HasSubstr("worker/1 plans 6 steps"));
}

TEST_F(ExchangeTest, WhoeverCannotBeOpenedIsNamed) {
  TestCluster cluster(folder_.path(), 0, 1, TestSpec());
  // There, but without a membership; and not there at all.
  cluster.servers.push_back(
      std::make_unique<TestShard>(folder_.path(), 0, 1, TestSpec()));
  ExchangeOptions options = TestExchangeOptions(cluster, 0, 1, 5);
  options.shards.push_back({"ps/1", "unix:" + folder_.path() + "/nobody", ""});
  const tensor::Layout layout = TestLayout(1, 2);
  std::vector<float> parameters(layout.elements());
  const auto exchange =
      Exchange::Open(options, layout, TestVersions(parameters),
                     absl::Now() + absl::Milliseconds(300));
  ASSERT_FALSE(exchange.ok());
  EXPECT_THAT(std::string(exchange.status().message()),
              AnyOf(HasSubstr("ps/0"), HasSubstr("ps/1")));
}

TEST_F(ExchangeTest, AWrongTokenAndAStaleGenerationAreFinal) {
  const TestCluster cluster(folder_.path(), 1, 4, TestSpec());
  const tensor::Layout layout = TestLayout(1, 1);
  std::vector<float> parameters(layout.elements());
  ExchangeOptions options = TestExchangeOptions(cluster, 0, 4, 5);
  options.token = "guessed";
  EXPECT_EQ(
      Exchange::Open(options, layout, TestVersions(parameters), TestDeadline())
          .status()
          .code(),
      absl::StatusCode::kUnauthenticated);
  const auto stale =
      Exchange::Open(TestExchangeOptions(cluster, 0, 3, 5), layout,
                     TestVersions(parameters), TestDeadline());
  EXPECT_EQ(stale.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(stale.status().message()),
              HasSubstr("worker/0 is of generation 3, ps/0 of 4"));
}

// ------------------------------------------------------------- checkpoints

class RestoreTest : public ExchangeTest,
                    public ::testing::WithParamInterface<std::pair<int, int>> {
};

// Trains with some shards, takes a checkpoint on the way while training goes
// on, and goes on from it with another number of shards: the same bits.
TEST_P(RestoreTest, GoesOnBitForBitOnAnotherNumberOfShards) {
  const auto [before, after] = GetParam();
  v1::JobSpec spec = TestSpec();
  spec.mutable_optimizer()->set_name(v1::OptimizerSpec::ADAM);
  spec.mutable_checkpoint()->set_every_steps(6);
  v1::CheckpointRef checkpoint;
  std::vector<float> expected;
  {
    const TestCluster cluster(folder_.path(), before, 1, spec);
    expected = RunWorkers(cluster, TestLayout(2, before), 1, 20, 20, Always)[0];
    checkpoint = Commit(cluster, 12, /*snapshots=*/4);
  }
  const TestCluster cluster(folder_.path(), after, 2, spec, checkpoint);
  const tensor::Layout layout = TestLayout(2, after, 50);
  const auto results = RunWorkers(cluster, layout, 2, 20, 20, Always);
  EXPECT_EQ(results[0], expected);
  EXPECT_EQ(results[1], expected);
}

INSTANTIATE_TEST_SUITE_P(Shards, RestoreTest,
                         ::testing::Values(std::pair(1, 1), std::pair(1, 3),
                                           std::pair(3, 2)));

TEST_F(ExchangeTest, BuffersAreInCheckpointsAndPulledFromThem) {
  v1::JobSpec spec = TestSpec();
  spec.mutable_checkpoint()->set_every_steps(4);
  const auto layout = [](int shards) {
    return TestLayout(2, shards, 64, TestTransport::kSockets, /*buffers=*/2);
  };
  v1::CheckpointRef checkpoint;
  {
    const TestCluster cluster(folder_.path(), 2, 1, spec);
    RunWorkers(cluster, layout(2), 1, 20, 8, Always);
    checkpoint = Commit(cluster, 4, /*snapshots=*/2);
  }
  const TestCluster cluster(folder_.path(), 1, 2, spec, checkpoint);
  const auto results = RunWorkers(cluster, layout(1), 2, 20, 4, Always);
  // What slot 0 sent with the last step before the checkpoint.
  const std::vector<float> sent = TestNumbers(layout(1).elements(), 77, 3, 0);
  for (const auto& result : results) {
    for (size_t i = layout(1).buffers_begin(); i < sent.size(); ++i) {
      EXPECT_EQ(result[i], sent[i]) << i;
    }
  }
}

TEST_F(ExchangeTest, AnotherModelOrOptimizerIsNotRestored) {
  v1::JobSpec spec = TestSpec();
  v1::CheckpointRef checkpoint;
  {
    const TestCluster cluster(folder_.path(), 1, 1, spec);
    RunWorkers(cluster, TestLayout(1, 1), 1, 2, 2, Always);
    checkpoint = Commit(cluster, 2, 1);
  }
  {
    spec.mutable_optimizer()->set_name(v1::OptimizerSpec::ADAM);
    const TestCluster cluster(folder_.path(), 1, 2, spec, checkpoint);
    const auto result = RunWorker(TestExchangeOptions(cluster, 0, 2, 9),
                                  TestLayout(1, 1), 9, Always);
    EXPECT_THAT(std::string(result.status().message()),
                HasSubstr("trained with sgd, this job says optimizer: adam"));
    // The server's process is told, too.
    EXPECT_EQ(cluster.servers[0]->failed().code(),
              absl::StatusCode::kFailedPrecondition);
  }
  tensor::LayoutParts other;
  other.members = {"worker/0"};
  other.shards = {"ps/0"};
  other.tensors = {{"conv.weight", {5, 3, 3, 4}}};
  other.chunk_elements = 64;
  const TestCluster cluster(folder_.path(), 1, 2, TestSpec(), checkpoint);
  const auto result = RunWorker(TestExchangeOptions(cluster, 0, 2, 9),
                                *tensor::Layout::Build(other), 9, Always);
  EXPECT_THAT(std::string(result.status().message()),
              AllOf(HasSubstr("another model"), HasSubstr("[5, 3, 3, 3]"),
                    HasSubstr("[5, 3, 3, 4]")));
}

}  // namespace
}  // namespace tfd::ps
