// Shard servers in this process, on Unix sockets in a temporary folder, and
// workers' exchanges with them: over gRPC, through shared memory, or each
// worker with a shard of its own.
#ifndef TFD_TESTS_PS_EXCHANGE_FIXTURE_H_
#define TFD_TESTS_PS_EXCHANGE_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/net/server.h"
#include "common/shared_memory.h"
#include "common/testing/temp_folder.h"
#include "ps/optimizer.h"
#include "ps/schedule.h"
#include "ps/shard_client.h"
#include "ps/shard_host.h"
#include "ps/shard_service.h"
#include "ps/shared_shard_server.h"
#include "tensor/flat_buffer.h"

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

enum class TestTransport {
  kSockets,
  // Over several connections.
  kStripes,
  kMemory,
  // As all-reduce: worker i has shard i in its process, and reaches the others
  // through shared memory.
  kOwnShards,
  // Of a worker, for the workers of its node to sum in.
  kNode,
};

inline bool InMemory(TestTransport transport) {
  return transport == TestTransport::kMemory ||
         transport == TestTransport::kOwnShards ||
         transport == TestTransport::kNode;
}

inline tensor::LayoutParts TestLayoutParts(
    int workers, int shards, uint64_t chunk_elements = 64,
    TestTransport transport = TestTransport::kSockets, size_t buffers = 0) {
  tensor::LayoutParts parts;
  parts.buffers = buffers;
  for (int i = 0; i < workers; ++i) {
    parts.members.push_back(absl::StrCat("worker/", i));
  }
  for (int i = 0; i < shards; ++i) {
    parts.shards.push_back(absl::StrCat(
        transport == TestTransport::kOwnShards ? "worker/" : "ps/", i));
  }
  parts.tensors = {
      {"conv.weight", {5, 3, 3, 3}}, {"conv.bias", {5}}, {"empty", {0, 7}},
      {"fc.weight", {17, 21}},       {"fc.bias", {17}},  {"scalar", {}}};
  parts.chunk_elements = chunk_elements;
  return parts;
}

inline tensor::Layout TestLayout(
    int workers, int shards, uint64_t chunk_elements = 64,
    TestTransport transport = TestTransport::kSockets, size_t buffers = 0) {
  absl::StatusOr<tensor::Layout> layout = tensor::Layout::Build(
      TestLayoutParts(workers, shards, chunk_elements, transport, buffers));
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
            const v1::CheckpointRef& restore = v1::CheckpointRef(),
            TestTransport transport = TestTransport::kSockets)
      : store_(LocalFileSystem(), folder),
        transport_(transport),
        socket_(absl::StrCat(
            folder, transport == TestTransport::kNode ? "/node" : "/ps", number,
            "-g", generation, ".sock")) {
    ShardHostOptions options;
    options.in_worker = transport == TestTransport::kOwnShards ||
                        transport == TestTransport::kNode;
    options.sums_only = transport == TestTransport::kNode;
    options.task = absl::StrCat(options.in_worker ? "worker/" : "ps/", number);
    options.shard = options.sums_only ? 0 : number;
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
    if (!InMemory(transport_)) return;
    auto shared =
        SharedShardServer::Start(memory_path(), kTestToken, host_.get());
    ASSERT_TRUE(shared.ok()) << shared.status();
    shared_server_ = *std::move(shared);
  }
  void StopServer() {
    shared_server_ = nullptr;
    server_ = nullptr;
  }
  void Stop() {
    host_->Stop();
    StopServer();
  }
  void SetMembership() { host_->SetMembership(membership_); }

  std::string target() const { return "unix:" + socket_; }
  std::string memory_path() const { return socket_ + ".mem"; }
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
  const TestTransport transport_;
  const std::string socket_;
  v1::Membership membership_;
  absl::Mutex mutex_;
  std::vector<Saved> saved_;
  absl::Status failed_;
  std::unique_ptr<ShardHost> host_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<net::Server> server_;
  std::unique_ptr<SharedShardServer> shared_server_;
};

// Shards of one generation.
struct TestCluster {
  TestCluster(const std::string& folder, int shards, uint64_t generation,
              const v1::JobSpec& spec,
              const v1::CheckpointRef& restore = v1::CheckpointRef(),
              TestTransport with = TestTransport::kSockets)
      : transport(with) {
    for (int i = 0; i < shards; ++i) {
      servers.push_back(std::make_unique<TestShard>(folder, i, generation, spec,
                                                    restore, transport));
      servers.back()->SetMembership();
    }
  }
  const TestTransport transport;
  std::vector<std::unique_ptr<TestShard>> servers;
};

// A worker's parameters and gradient, where shards can read them.
struct TestBuffers {
  explicit TestBuffers(size_t elements)
      : versions(*tensor::AllocateParameterVersions(elements)),
        gradients(*tensor::FlatBuffer::Allocate(elements)),
        gradient(gradients.span()) {}
  std::vector<const SharedMemory*> memory() const {
    return {gradients.shared_memory()};
  }
  // What the exchange has completed.
  absl::Span<float> parameters(const Exchange& exchange) const {
    return (*versions)[exchange.version()].span();
  }
  const std::shared_ptr<const tensor::ParameterVersions> versions;
  const tensor::FlatBuffer gradients;
  const absl::Span<float> gradient;
};

// A worker's, of which it knows these numbers.
inline std::shared_ptr<const tensor::ParameterVersions> TestVersions(
    const std::vector<float>& parameters) {
  auto versions = *tensor::AllocateParameterVersions(parameters.size());
  absl::c_copy(parameters, (*versions)[0].data());
  return versions;
}

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
    TestShard& server = *cluster.servers[i];
    ShardAddress address = {server.host().options().task, server.target(), ""};
    if (InMemory(cluster.transport)) {
      address.memory_path = server.memory_path();
    }
    options.shards.push_back(address);
    if (cluster.transport == TestTransport::kOwnShards && i == slot) {
      options.own_shard = &server.host();
    }
  }
  if (!cluster.servers.empty()) {
    const v1::ExchangeSpec& exchange =
        cluster.servers[0]->host().options().spec.exchange();
    options.payload = exchange.payload();
    if (exchange.has_top_k()) options.top_k = exchange.top_k();
  }
  if (cluster.transport == TestTransport::kStripes) options.connections = 3;
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
inline Part Always(int64_t, uint32_t) { return {64, false}; }

// The steps of one worker; its final parameters.
inline absl::StatusOr<std::vector<float>> TakeSteps(Exchange& exchange,
                                                    const TestBuffers& buffers,
                                                    uint32_t worker,
                                                    int64_t until_step,
                                                    const PartOf& part_of) {
  absl::Status status;
  for (int64_t t = exchange.step(); status.ok() && t < until_step; ++t) {
    const Part part = part_of(t, worker);
    absl::c_copy(TestNumbers(buffers.gradient.size(), 77, t, worker),
                 buffers.gradient.begin());
    StepInfo step;
    step.step = t;
    step.weight = part.weight;
    step.idle = part.idle;
    status = exchange.BeginStep(step);
    if (status.ok() && !part.idle) {
      status = exchange.PushAll(buffers.gradient.data());
    }
    if (status.ok()) status = exchange.WaitStep(TestDeadline());
  }
  if (!status.ok()) return status;
  const absl::Span<float> parameters = buffers.parameters(exchange);
  return std::vector<float>(parameters.begin(), parameters.end());
}

// One worker, from handshake to its last step; its final parameters.
inline absl::StatusOr<std::vector<float>> RunWorker(
    ExchangeOptions options, const tensor::Layout& layout, int64_t until_step,
    const PartOf& part_of) {
  const TestBuffers buffers(layout.elements());
  options.memory = buffers.memory();
  absl::c_copy(TestNumbers(layout.elements(), options.slot),
               (*buffers.versions)[0].data());
  auto exchange =
      Exchange::Open(options, layout, buffers.versions, TestDeadline());
  if (!exchange.ok()) return exchange.status();
  const absl::Status status = (*exchange)->Initialise(TestDeadline());
  if (!status.ok()) return status;
  const bool in_place = !options.shards[0].memory_path.empty();
  EXPECT_EQ((*exchange)->stats().shards_in_place,
            in_place ? options.shards.size() : 0);
  return TakeSteps(**exchange, buffers, options.slot, until_step, part_of);
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

// All shards' files of a step, as the coordinator would collect them, made a
// checkpoint.
inline v1::CheckpointRef Commit(const TestCluster& cluster, int64_t step,
                                size_t snapshots) {
  v1::CheckpointManifest manifest;
  for (const auto& server : cluster.servers) {
    for (const auto& saved : server->WaitSaved(snapshots)) {
      EXPECT_TRUE(saved.file.ok()) << saved.file.status();
      if (saved.step != step) continue;
      if (manifest.step() == 0) {
        auto made = server->host().Manifest(step);
        EXPECT_TRUE(made.ok()) << made.status();
        manifest = *std::move(made);
      }
      *manifest.add_shards() = *saved.file;
    }
  }
  const auto ref = cluster.servers[0]->store().WriteManifest(manifest);
  EXPECT_TRUE(ref.ok()) << ref.status();
  return *ref;
}

// As numbers are after they have travelled.
inline std::vector<float> Rounded(const v1::JobSpec& spec,
                                  const std::vector<float>& numbers) {
  const tensor::NumberType type =
      tensor::NumberTypeOf(spec.exchange().payload());
  std::vector<std::byte> narrow(numbers.size() * tensor::BytesPerNumber(type));
  tensor::Narrow(type, numbers, narrow.data());
  std::vector<float> rounded(numbers.size());
  tensor::Widen(type, {narrow}, absl::MakeSpan(rounded));
  return rounded;
}

// What the shards must do, in one thread, with loops that nobody vectorised:
// sums in the order of slots, weights, one optimizer step on all parameters.
// What workers have in the end.
inline std::vector<float> Reference(const v1::JobSpec& spec,
                                    const tensor::Layout& layout,
                                    int64_t total_steps,
                                    const PartOf& part_of) {
  std::vector<float> parameters = TestNumbers(layout.elements(), 0);
  const size_t n = parameters.size();
  const auto optimizer = MakeOptimizer(spec.optimizer());
  std::vector<std::vector<float>> state((*optimizer)->state_names().size(),
                                        std::vector<float>(n, 0));
  uint64_t updates = 0;
  for (int64_t t = 0; t < total_steps; ++t) {
    std::vector<float> sum(n, 0);
    double total = 0;
    for (uint32_t slot = 0; slot < layout.slots(); ++slot) {
      const Part part = part_of(t, slot);
      if (part.idle || part.weight == 0) continue;
      const std::vector<float> g = Rounded(spec, TestNumbers(n, 77, t, slot));
      const auto weight = static_cast<float>(part.weight);
      for (size_t i = 0; i < n; ++i) sum[i] += weight * g[i];
      total += part.weight;
    }
    if (total == 0) continue;
    std::vector<float*> arrays;
    for (auto& s : state) arrays.push_back(s.data());
    std::vector<float> next(n);
    (*optimizer)
        ->Apply({LearningRate(spec.optimizer(), t, total_steps),
                 static_cast<float>(1 / total), ++updates},
                {parameters, sum, arrays, absl::MakeSpan(next)});
    parameters = next;
  }
  return Rounded(spec, parameters);
}

}  // namespace tfd::ps

#endif  // TFD_TESTS_PS_EXCHANGE_FIXTURE_H_
