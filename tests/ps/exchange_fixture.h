// Shard servers in this process, on Unix sockets in a temporary folder, and
// workers' exchanges with them over real gRPC.
#ifndef TFD_TESTS_PS_EXCHANGE_FIXTURE_H_
#define TFD_TESTS_PS_EXCHANGE_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/net/server.h"
#include "common/testing/temp_folder.h"
#include "ps/shard_client.h"
#include "ps/shard_host.h"
#include "ps/shard_service.h"

namespace tfd::ps {

inline constexpr char kTestToken[] = "a-token";
inline constexpr absl::Duration kTestTimeout = absl::Seconds(30);
inline absl::Time TestDeadline() { return absl::Now() + kTestTimeout; }

inline v1::JobSpec TestSpec() {
  v1::JobSpec spec;
  spec.set_name("test");
  spec.mutable_optimizer()->set_name(v1::OptimizerSpec::SGD);
  spec.mutable_optimizer()->set_lr(0.1);
  spec.mutable_optimizer()->set_momentum(0);
  spec.mutable_optimizer()->set_beta1(0.9);
  spec.mutable_optimizer()->set_beta2(0.999);
  spec.mutable_optimizer()->set_epsilon(1e-8);
  spec.mutable_optimizer()->mutable_schedule()->set_name(
      v1::ScheduleSpec::CONSTANT);
  spec.mutable_checkpoint()->set_every_steps(0);
  spec.set_deterministic(true);
  return spec;
}

inline tensor::Layout TestLayout(int workers, int shards,
                                 uint64_t chunk_elements = 64) {
  tensor::LayoutParts parts;
  for (int i = 0; i < workers; ++i) {
    parts.members.push_back(absl::StrCat("worker/", i));
  }
  for (int i = 0; i < shards; ++i) {
    parts.shards.push_back(absl::StrCat("ps/", i));
  }
  parts.tensors = {
      {"conv.weight", {5, 3, 3, 3}}, {"conv.bias", {5}}, {"empty", {0, 7}},
      {"fc.weight", {17, 21}},       {"fc.bias", {17}},  {"scalar", {}}};
  parts.chunk_elements = chunk_elements;
  absl::StatusOr<tensor::Layout> layout = tensor::Layout::Build(parts);
  EXPECT_TRUE(layout.ok()) << layout.status();
  return *std::move(layout);
}

// Numbers that depend on the seeds alone.
inline std::vector<float> TestNumbers(size_t count, uint64_t seed,
                                      uint64_t step = 0, uint64_t slot = 0) {
  std::mt19937_64 random(seed * 1'000'003 + step * 1'009 + slot);
  std::uniform_real_distribution<float> numbers(-1, 1);
  std::vector<float> values(count);
  for (float& value : values) value = numbers(random);
  return values;
}

// One shard server.
class TestShard {
 public:
  TestShard(const std::string& folder, uint32_t number, uint64_t generation,
            const v1::JobSpec& spec,
            const v1::CheckpointRef& restore = v1::CheckpointRef())
      : store_(LocalFileSystem(), folder),
        socket_(
            absl::StrCat(folder, "/ps", number, "-g", generation, ".sock")) {
    ShardHostOptions options;
    options.task = absl::StrCat("ps/", number);
    options.shard = number;
    options.generation = generation;
    options.spec = spec;
    host_ = std::make_unique<ShardHost>(
        options, &store_,
        [this](int64_t step, const absl::StatusOr<v1::ShardFile>& file) {
          absl::MutexLock lock(&mutex_);
          saved_.push_back({step, file});
        },
        [this](const absl::Status& status) {
          absl::MutexLock lock(&mutex_);
          failed_ = status;
        });
    membership_.set_generation(generation);
    if (!restore.uri().empty()) *membership_.mutable_restore() = restore;
    Start();
  }
  ~TestShard() { Stop(); }

  // The server alone; the host and its shard stay.
  void Start() {
    service_ = MakeShardService(host_.get(), kTestToken);
    net::ServerOptions options;
    options.tcp = "";
    options.unix_path = socket_;
    options.max_message_bytes = kMaxShardMessageBytes;
    auto server = net::Server::Start(options, {service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void StopServer() { server_ = nullptr; }
  void Stop() {
    host_->Stop();
    server_ = nullptr;
  }
  void SetMembership() { host_->SetMembership(membership_); }

  std::string target() const { return "unix:" + socket_; }
  ShardHost& host() { return *host_; }
  Shard& shard() { return *host_->shard(); }
  tensor::CheckpointStore& store() { return store_; }

  struct Saved {
    int64_t step;
    absl::StatusOr<v1::ShardFile> file;
  };
  // Waits until so many snapshots are on disk.
  std::vector<Saved> WaitSaved(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&] { return saved_.size() >= count; };
    EXPECT_TRUE(
        mutex_.AwaitWithTimeout(absl::Condition(&enough), kTestTimeout));
    return saved_;
  }
  absl::Status failed() {
    absl::MutexLock lock(&mutex_);
    return failed_;
  }

 private:
  tensor::CheckpointStore store_;
  const std::string socket_;
  v1::Membership membership_;
  absl::Mutex mutex_;
  std::vector<Saved> saved_;
  absl::Status failed_;
  std::unique_ptr<ShardHost> host_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<net::Server> server_;
};

// Shards of one generation.
struct TestCluster {
  TestCluster(const std::string& folder, int shards, uint64_t generation,
              const v1::JobSpec& spec,
              const v1::CheckpointRef& restore = v1::CheckpointRef()) {
    for (int i = 0; i < shards; ++i) {
      servers.push_back(
          std::make_unique<TestShard>(folder, i, generation, spec, restore));
      servers.back()->SetMembership();
    }
  }
  std::vector<std::unique_ptr<TestShard>> servers;
};

inline ExchangeOptions TestExchangeOptions(const TestCluster& cluster,
                                           uint32_t slot, uint64_t generation,
                                           int64_t total_steps) {
  ExchangeOptions options;
  options.task = absl::StrCat("worker/", slot);
  options.incarnation = slot + 1;
  options.generation = generation;
  options.token = kTestToken;
  options.slot = slot;
  for (size_t i = 0; i < cluster.servers.size(); ++i) {
    options.shards.push_back(
        {absl::StrCat("ps/", i), cluster.servers[i]->target()});
  }
  options.total_steps = total_steps;
  options.steps_per_epoch = total_steps;
  options.records = 1000;
  return options;
}

// What one worker gives at a step.
struct Part {
  double weight = 1;
  bool idle = false;
};
using PartOf = std::function<Part(int64_t step, uint32_t slot)>;

// One worker, from handshake to its last step; its final parameters.
inline absl::StatusOr<std::vector<float>> RunWorker(
    const ExchangeOptions& options, const tensor::Layout& layout,
    int64_t until_step, const PartOf& part_of) {
  std::vector<float> parameters = TestNumbers(layout.elements(), options.slot);
  std::vector<float> gradient;
  auto exchange = Exchange::Open(options, layout, absl::MakeSpan(parameters),
                                 TestDeadline());
  if (!exchange.ok()) return exchange.status();
  absl::Status status = (*exchange)->Initialise(TestDeadline());
  for (int64_t t = (*exchange)->step(); status.ok() && t < until_step; ++t) {
    const Part part = part_of(t, options.slot);
    gradient = TestNumbers(layout.elements(), 77, t, options.slot);
    StepInfo step;
    step.step = t;
    step.weight = part.weight;
    step.idle = part.idle;
    status = (*exchange)->BeginStep(step);
    if (status.ok() && !part.idle) {
      status = (*exchange)->PushAll(gradient.data());
    }
    if (status.ok()) status = (*exchange)->WaitStep(TestDeadline());
  }
  if (!status.ok()) return status;
  return parameters;
}

// All workers at once; their final parameters.
inline std::vector<std::vector<float>> RunWorkers(const TestCluster& cluster,
                                                  const tensor::Layout& layout,
                                                  uint64_t generation,
                                                  int64_t total_steps,
                                                  int64_t until_step,
                                                  const PartOf& part_of) {
  std::vector<std::vector<float>> results(layout.slots());
  std::vector<std::thread> threads;
  for (uint32_t slot = 0; slot < layout.slots(); ++slot) {
    threads.emplace_back([&, slot] {
      auto result =
          RunWorker(TestExchangeOptions(cluster, slot, generation, total_steps),
                    layout, until_step, part_of);
      EXPECT_TRUE(result.ok()) << result.status();
      if (result.ok()) results[slot] = *std::move(result);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

}  // namespace tfd::ps

#endif  // TFD_TESTS_PS_EXCHANGE_FIXTURE_H_
