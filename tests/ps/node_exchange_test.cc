// Nodes of several workers in one process: the sum of each node is one
// contribution, and what comes of it is what comes of every worker's own.
#include "ps/node_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>

#include "common/net/endpoint.h"
#include "tests/ps/exchange_fixture.h"

namespace tfd::ps {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// The numbers of each node's workers, ascending; worker 0 on the first.
using Nodes = std::vector<std::vector<uint32_t>>;

const Nodes kTwoOfTwo = {{0, 2}, {1, 3}};

v1::JobSpec NodeSpec() {
  v1::JobSpec spec = TestSpec();
  spec.set_deterministic(false);
  spec.mutable_strategy()->set_sync(v1::StrategySpec::BSP);
  spec.mutable_exchange()->set_aggregate(v1::ExchangeSpec::NODE);
  spec.mutable_exchange()->set_nan(v1::ExchangeSpec::FAIL);
  return spec;
}

struct WorkerResult {
  absl::Status status;
  std::vector<float> parameters;
  ExchangeStats stats;
  // Its host had a shard.
  bool sums = false;
};

// The workers of all nodes, each with a host of its own to sum in.
class TestNodes {
 public:
  TestNodes(const TestCluster* cluster, const std::string& folder, Nodes nodes,
            tensor::LayoutParts layout, uint64_t generation,
            const v1::JobSpec& spec)
      : cluster_(cluster),
        nodes_(std::move(nodes)),
        layout_(std::move(layout)),
        generation_(generation) {
    for (const auto& node : nodes_) workers_ += node.size();
    for (size_t i = 0; i < workers_; ++i) {
      hosts_.push_back(std::make_unique<TestShard>(folder, i, generation, spec,
                                                   v1::CheckpointRef(),
                                                   TestTransport::kNode));
      hosts_.back()->SetMembership();
    }
  }

  size_t workers() const { return workers_; }
  TestShard& host(uint32_t worker) { return *hosts_[worker]; }

  NodePlan PlanOf(uint32_t worker) const {
    NodePlan plan;
    for (const auto& node : nodes_) {
      plan.leaders.push_back(absl::StrCat("worker/", node[0]));
      if (!absl::c_linear_search(node, worker)) continue;
      for (const uint32_t number : node) {
        plan.workers.push_back(absl::StrCat("worker/", number));
      }
      plan.leader.set_task(plan.workers[0]);
      v1::Endpoint& endpoint = *plan.leader.mutable_endpoint();
      endpoint.set_host_id(net::HostId());
      const std::string target = hosts_[node[0]]->target();
      endpoint.set_unix_path(target.substr(std::string("unix:").size()));
      endpoint.set_memory_path(hosts_[node[0]]->memory_path());
    }
    return plan;
  }

  absl::StatusOr<std::unique_ptr<Exchange>> Open(uint32_t worker,
                                                 const TestBuffers& buffers,
                                                 ExchangeOptions options) {
    options.memory = buffers.memory();
    absl::c_copy(TestNumbers(buffers.gradient.size(), worker),
                 (*buffers.versions)[0].data());
    NodeExchangeParts parts;
    parts.plan = PlanOf(worker);
    parts.layout = layout_;
    parts.parameters = buffers.versions;
    parts.host = &hosts_[worker]->host();
    parts.transport = cluster_->transport == TestTransport::kSockets
                          ? v1::ExchangeSpec::UNIX
                          : v1::ExchangeSpec::AUTO;
    auto exchange = OpenNodeExchange(options, parts, kTestTimeout);
    if (!exchange.ok()) return exchange;
    const absl::Status status = (*exchange)->Initialise(TestDeadline());
    if (!status.ok()) return status;
    return exchange;
  }
  ExchangeOptions OptionsOf(uint32_t worker, int64_t total_steps) const {
    return TestExchangeOptions(*cluster_, worker, generation_, total_steps);
  }

  // All workers at once.
  std::vector<WorkerResult> Run(int64_t total_steps, int64_t until_step,
                                const PartOf& part_of) {
    std::vector<WorkerResult> results(workers_);
    std::vector<std::unique_ptr<TestBuffers>> buffers;
    for (size_t i = 0; i < workers_; ++i) {
      buffers.push_back(std::make_unique<TestBuffers>(elements()));
    }
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < workers_; ++i) {
      threads.emplace_back([&, i] {
        auto exchange = Open(i, *buffers[i], OptionsOf(i, total_steps));
        results[i].status = exchange.status();
        if (!exchange.ok()) return;
        auto taken = TakeSteps(**exchange, *buffers[i], i, until_step, part_of);
        results[i].status = taken.status();
        results[i].stats = (*exchange)->stats();
        if (taken.ok()) results[i].parameters = *std::move(taken);
        exchange->reset();
        EXPECT_TRUE(hosts_[i]->host().AwaitNoStreams(kTestTimeout).ok());
        results[i].sums = hosts_[i]->host().shard() != nullptr;
      });
    }
    for (std::thread& thread : threads) thread.join();
    // They read and write the workers' memory.
    for (const auto& host : hosts_) host->Stop();
    hosts_.clear();
    return results;
  }

  size_t elements() const { return tensor::Layout::Build(layout_)->elements(); }

 private:
  const TestCluster* const cluster_;
  const Nodes nodes_;
  const tensor::LayoutParts layout_;
  const uint64_t generation_;
  size_t workers_ = 0;
  std::vector<std::unique_ptr<TestShard>> hosts_;
};

// All have the same bits, and those are `expected` but for rounding.
void ExpectNear(const std::vector<WorkerResult>& results,
                const std::vector<float>& expected, double tolerance = 1e-6) {
  for (const WorkerResult& result : results) {
    ASSERT_EQ(result.status, absl::OkStatus());
    EXPECT_EQ(result.parameters, results[0].parameters);
  }
  ASSERT_EQ(results[0].parameters.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(results[0].parameters[i], expected[i],
                tolerance * std::max(1.0f, std::abs(expected[i])))
        << i;
  }
}

// Whatever carries the tensors, on both levels.
class NodeExchangeTest : public ::testing::TestWithParam<TestTransport> {
 protected:
  TestCluster Cluster(int shards, const v1::JobSpec& spec,
                      uint64_t generation = 1,
                      const v1::CheckpointRef& restore = {}) {
    return TestCluster(folder_.path(), shards, generation, spec, restore,
                       GetParam());
  }
  TestNodes MakeNodes(const TestCluster& cluster, const Nodes& nodes,
                      const v1::JobSpec& spec, uint64_t generation = 1,
                      size_t buffers = 0) {
    const auto shards = static_cast<int>(cluster.servers.size());
    return TestNodes(&cluster, folder_.path(), nodes,
                     TestLayoutParts(1, shards, 64, GetParam(), buffers),
                     generation, spec);
  }
  static uint64_t Pushed(const TestCluster& cluster) {
    uint64_t applied = 0;
    for (const auto& server : cluster.servers) {
      applied += server->shard().stats().pushes_applied;
    }
    return applied;
  }
  static uint64_t PayloadBytes(const TestCluster& cluster) {
    uint64_t bytes = 0;
    for (const auto& server : cluster.servers) {
      bytes += server->shard().stats().payload_bytes;
    }
    return bytes;
  }
  testing::TempFolder folder_;
};

std::string NodeTransportName(
    const ::testing::TestParamInfo<TestTransport>& transport) {
  return transport.param == TestTransport::kSockets ? "Sockets" : "Memory";
}

INSTANTIATE_TEST_SUITE_P(All, NodeExchangeTest,
                         ::testing::Values(TestTransport::kSockets,
                                           TestTransport::kMemory),
                         NodeTransportName);

TEST_P(NodeExchangeTest, TwoNodesOfTwoWorkersEqualTheReference) {
  v1::JobSpec spec = NodeSpec();
  spec.mutable_optimizer()->set_name(v1::OptimizerSpec::ADAM);
  const TestCluster cluster = Cluster(3, spec);
  TestNodes nodes = MakeNodes(cluster, kTwoOfTwo, spec);
  const auto results = nodes.Run(20, 20, Always);
  ExpectNear(results, Reference(spec, TestLayout(4, 3), 20, Always));
  EXPECT_EQ(cluster.servers[0]->shard().layout().slots(), 2u);
  for (const WorkerResult& result : results) {
    EXPECT_EQ(result.stats.shards_in_place,
              GetParam() == TestTransport::kMemory || result.sums ? 1u : 0u);
  }
}

TEST_P(NodeExchangeTest, AWorkerAloneOnItsNodeTalksToTheShardsItself) {
  const v1::JobSpec spec = NodeSpec();
  const TestCluster cluster = Cluster(2, spec);
  TestNodes nodes = MakeNodes(cluster, {{0}, {1, 2}}, spec);
  const auto results = nodes.Run(10, 10, Always);
  ExpectNear(results, Reference(spec, TestLayout(3, 2), 10, Always));
  EXPECT_EQ(Pushed(cluster), 10 * 2 * TestLayout(2, 2).chunks());
  EXPECT_FALSE(results[0].sums);
  EXPECT_TRUE(results[1].sums);
  EXPECT_FALSE(results[2].sums);
}

TEST_P(NodeExchangeTest, ShortIdleAndWorthlessBatchesAreWeightedRight) {
  const auto part_of = [](int64_t step, uint32_t worker) -> Part {
    if (step % 6 == 2 && worker % 2 == 1) return {0, true};  // a node
    if (step % 6 == 3 && worker > 0) return {0, true};
    if (step % 6 == 4) return {0, true};  // nobody has anything
    if (step % 6 == 5 && worker != 3) return {0, false};
    return {worker == 2 ? 7.0 : 64.0, false};
  };
  const v1::JobSpec spec = NodeSpec();
  const TestCluster cluster = Cluster(2, spec);
  TestNodes nodes = MakeNodes(cluster, kTwoOfTwo, spec);
  const auto results = nodes.Run(24, 24, part_of);
  ExpectNear(results, Reference(spec, TestLayout(4, 2), 24, part_of));
}

TEST_P(NodeExchangeTest, WhatTheNodesSendIsHalfOfWhatTheirWorkersWould) {
  constexpr int64_t kSteps = 10;
  const v1::JobSpec spec = NodeSpec();
  const uint64_t model_bytes = TestLayout(1, 1).elements() * sizeof(float);
  const TestCluster direct = Cluster(2, spec);
  RunWorkers(direct, TestLayout(4, 2), 1, kSteps, kSteps, Always);
  // And the first parameters.
  EXPECT_EQ(PayloadBytes(direct), (4 * kSteps + 1) * model_bytes);
  const TestCluster cluster = Cluster(2, spec, 2);
  TestNodes nodes = MakeNodes(cluster, kTwoOfTwo, spec, 2);
  const auto results = nodes.Run(kSteps, kSteps, Always);
  EXPECT_EQ(PayloadBytes(cluster), (2 * kSteps + 1) * model_bytes);
  const uint64_t headers = (2 * kSteps + 3) * 100 * TestLayout(1, 1).chunks();
  EXPECT_GT(results[0].stats.bytes_sent + results[1].stats.bytes_sent,
            (2 * kSteps + 1) * model_bytes);
  if (GetParam() == TestTransport::kMemory) {
    // Nor is anything copied twice in a leader: not even between its levels.
    EXPECT_LT(results[0].stats.bytes_sent,
              (kSteps + 1) * model_bytes + headers);
    EXPECT_EQ(results[0].stats.bytes_copied, (kSteps + 1) * model_bytes);
  }
}

TEST_P(NodeExchangeTest, BuffersAreThoseOfWorker0) {
  // Idle, or with a batch that is worth nothing, now and then.
  const auto part_of = [](int64_t step, uint32_t worker) -> Part {
    if (worker == 0 && step % 4 == 2) return {0, true};
    if (worker != 1 && step % 4 == 3) return {0, false};
    return {64, false};
  };
  for (const int64_t steps : {5, 7, 8}) {
    const auto generation = static_cast<uint64_t>(steps);
    const v1::JobSpec spec = NodeSpec();
    const TestCluster cluster = Cluster(2, spec, generation);
    TestNodes nodes = MakeNodes(cluster, kTwoOfTwo, spec, generation, 2);
    const auto results = nodes.Run(8, steps, part_of);
    const int64_t last_sent = steps == 7 ? 5 : steps - 1;
    const tensor::Layout layout = TestLayout(4, 2, 64, GetParam(), 2);
    const std::vector<float> sent =
        TestNumbers(layout.elements(), 77, last_sent, 0);
    for (const WorkerResult& result : results) {
      ASSERT_EQ(result.status, absl::OkStatus());
      for (size_t i = layout.buffers_begin(); i < sent.size(); ++i) {
        EXPECT_EQ(result.parameters[i], sent[i]) << steps << " " << i;
      }
    }
  }
}

TEST_P(NodeExchangeTest, LostConnectionsAreReopenedAndNothingIsAppliedTwice) {
  constexpr int64_t kSteps = 40;
  const v1::JobSpec spec = NodeSpec();
  const TestCluster cluster = Cluster(2, spec);
  TestNodes nodes = MakeNodes(cluster, kTwoOfTwo, spec);
  absl::Mutex mutex;
  // In the middle of a step: of the shards, and of the leaders.
  const auto part_of = [&](int64_t step, uint32_t worker) -> Part {
    if (worker == 3 && step % 10 == 5) {
      absl::MutexLock lock(&mutex);
      for (const auto& server : cluster.servers) {
        server->StopServer();
        server->Start();
      }
    }
    if (worker == 2 && step % 10 == 7) {
      absl::MutexLock lock(&mutex);
      for (const uint32_t leader : {0, 1}) {
        nodes.host(leader).StopServer();
        nodes.host(leader).Start();
      }
    }
    return {64, false};
  };
  const auto results = nodes.Run(kSteps, kSteps, part_of);
  ExpectNear(results, Reference(spec, TestLayout(4, 2), kSteps, Always));
  EXPECT_EQ(Pushed(cluster), kSteps * 2 * TestLayout(2, 2).chunks());
  EXPECT_GT(results[0].stats.reconnects, 0u);
  EXPECT_GT(results[2].stats.reconnects, 0u);
}

TEST_P(NodeExchangeTest, GoesOnFromACheckpointOnOtherNodes) {
  v1::JobSpec spec = NodeSpec();
  spec.mutable_optimizer()->set_name(v1::OptimizerSpec::ADAM);
  spec.mutable_checkpoint()->set_every_steps(6);
  v1::CheckpointRef checkpoint;
  {
    const TestCluster cluster = Cluster(2, spec);
    TestNodes nodes = MakeNodes(cluster, kTwoOfTwo, spec);
    ExpectNear(nodes.Run(20, 20, Always),
               Reference(spec, TestLayout(4, 2), 20, Always));
    checkpoint = Commit(cluster, 12, /*snapshots=*/4);
  }
  const TestCluster cluster = Cluster(1, spec, 2, checkpoint);
  TestNodes nodes = MakeNodes(cluster, {{0, 1, 2}, {3}}, spec, 2);
  const auto results = nodes.Run(20, 20, Always);
  ExpectNear(results, Reference(spec, TestLayout(4, 1), 20, Always));
  EXPECT_EQ(Pushed(cluster), 8 * 2 * TestLayout(2, 1).chunks());
}

TEST_P(NodeExchangeTest, ANanOfOneWorkerFailsAllAndNamesTheParameter) {
  const v1::JobSpec spec = NodeSpec();
  const TestCluster cluster = Cluster(1, spec);
  TestNodes nodes = MakeNodes(cluster, {{0, 1}}, spec);
  std::vector<absl::Status> statuses(2);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      const TestBuffers buffers(nodes.elements());
      auto exchange = nodes.Open(i, buffers, nodes.OptionsOf(i, 5));
      ASSERT_TRUE(exchange.ok()) << exchange.status();
      if (i == 1) {
        // In fc.weight.
        buffers.gradient[200] = std::numeric_limits<float>::quiet_NaN();
      }
      // In a batch that is worth nothing it does not count.
      for (int64_t t = 0; t < 2 && statuses[i].ok(); ++t) {
        EXPECT_EQ((*exchange)->step(), t);
        StepInfo step;
        step.step = t;
        step.weight = i == 1 && t == 0 ? 0 : 64;
        EXPECT_TRUE((*exchange)->BeginStep(step).ok());
        statuses[i] = (*exchange)->PushAll(buffers.gradient.data());
        if (statuses[i].ok()) {
          statuses[i] = (*exchange)->WaitStep(TestDeadline());
        }
      }
      exchange->reset();
      EXPECT_TRUE(nodes.host(i).host().AwaitNoStreams(kTestTimeout).ok());
      // The leader's host reads and writes its memory.
      if (i == 0) nodes.host(i).Stop();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : statuses) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(
        std::string(status.message()),
        AllOf(HasSubstr("worker/0"), HasSubstr("ps/0"), HasSubstr("at step 1"),
              HasSubstr("the gradient of fc.weight has a NaN")));
  }
}

TEST_P(NodeExchangeTest, FewerBitsAreSentBetweenNodes) {
  constexpr int64_t kSteps = 10;
  v1::JobSpec spec = NodeSpec();
  spec.mutable_exchange()->set_payload(v1::ExchangeSpec::BFLOAT16);
  const TestCluster cluster = Cluster(2, spec);
  TestNodes nodes = MakeNodes(cluster, kTwoOfTwo, spec);
  const auto results = nodes.Run(kSteps, kSteps, Always);
  ExpectNear(results, Reference(NodeSpec(), TestLayout(4, 2), kSteps, Always),
             0.02);
  const uint64_t model_bytes = TestLayout(1, 1).elements() * sizeof(float);
  EXPECT_EQ(PayloadBytes(cluster), kSteps * model_bytes + model_bytes);
}

TEST_P(NodeExchangeTest, ADeadlineNamesWhomTheNodeWaitsFor) {
  const v1::JobSpec spec = NodeSpec();
  const TestCluster cluster = Cluster(1, spec);
  // The other node's only worker takes no step.
  TestNodes nodes = MakeNodes(cluster, {{0, 2}, {1}}, spec);
  const TestBuffers first(nodes.elements());
  const TestBuffers second(nodes.elements());
  const TestBuffers third(nodes.elements());
  std::unique_ptr<Exchange> exchanges[3];
  std::vector<std::thread> threads;
  const TestBuffers* const buffers[] = {&first, &second, &third};
  for (uint32_t i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      auto exchange = nodes.Open(i, *buffers[i], nodes.OptionsOf(i, 5));
      ASSERT_TRUE(exchange.ok()) << exchange.status();
      exchanges[i] = *std::move(exchange);
    });
  }
  for (std::thread& thread : threads) thread.join();
  StepInfo step;
  step.weight = 64;
  for (const int i : {2, 0}) {
    ASSERT_TRUE(exchanges[i]->BeginStep(step).ok());
    ASSERT_TRUE(exchanges[i]->PushAll(buffers[i]->gradient.data()).ok());
  }
  // What was given through memory is on its way to the leader.
  std::string message;
  while (message.find("for its node") == std::string::npos) {
    const absl::Status status =
        exchanges[0]->WaitStep(absl::Now() + absl::Milliseconds(10));
    ASSERT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    message = std::string(status.message());
  }
  EXPECT_THAT(
      message,
      AllOf(HasSubstr("step 0 of worker/0 waits for worker/0 (unix:"),
            HasSubstr("; for its node, step 0 of worker/0 waits for ps/0 (")));
  const absl::Status status =
      exchanges[2]->WaitStep(absl::Now() + absl::Milliseconds(1));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("or a shard of the job has not answered the node"));
  for (auto& exchange : exchanges) exchange.reset();
  for (const uint32_t i : {0, 1, 2}) nodes.host(i).Stop();
}

TEST_P(NodeExchangeTest, AShardThatStaysAwayIsNamedToAllWorkersOfTheNode) {
  const v1::JobSpec spec = NodeSpec();
  const TestCluster cluster = Cluster(1, spec);
  TestNodes nodes = MakeNodes(cluster, {{0, 1}}, spec);
  std::vector<absl::Status> statuses(2);
  std::vector<std::thread> threads;
  const auto part_of = [&](int64_t step, uint32_t worker) -> Part {
    if (worker == 1 && step == 2) cluster.servers[0]->StopServer();
    return {64, false};
  };
  for (uint32_t i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      const TestBuffers buffers(nodes.elements());
      ExchangeOptions options = nodes.OptionsOf(i, 5);
      options.reconnect_timeout = absl::Milliseconds(200);
      auto exchange = nodes.Open(i, buffers, options);
      ASSERT_TRUE(exchange.ok()) << exchange.status();
      statuses[i] = TakeSteps(**exchange, buffers, i, 5, part_of).status();
      exchange->reset();
      EXPECT_TRUE(nodes.host(i).host().AwaitNoStreams(kTestTimeout).ok());
      if (i == 0) nodes.host(i).Stop();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : statuses) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("ps/0 (unix:"), HasSubstr("out of reach for")));
  }
}

}  // namespace
}  // namespace tfd::ps
