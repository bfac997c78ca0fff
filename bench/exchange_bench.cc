// A worker and a real tfd-ps process on one machine.
//
// BM_PushPull/KIND/BYTES: one step of an exchange of BYTES of parameters in
// chunks of 1 MiB: push the gradient, sum, sgd, new parameters back. KIND is
// memory, unix or tcp; with _bfloat16, numbers travel in 16 bits, with _topk a
// hundredth of the gradient is pushed. bytes_per_second counts what would be
// pushed and come back as float32; p50_us is the median step.
//
// BM_StartParameterServer: from fork to its hello at the coordinator; rss_MiB
// is its memory then (VmRSS), anon_MiB the part that is not files' (RssAnon).
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "common/testing/temp_folder.h"
#include "common/tuning.h"
#include "ps/shard_client.h"
#include "tests/ps/exchange_fixture.h"
#include "tests/ps/fake_coordinator.h"

namespace tfd::ps {
namespace {

constexpr int64_t kManySteps = int64_t{1} << 40;

// A started parameter server that has said hello.
struct Server {
  explicit Server(const v1::ExchangeSpec& exchange = {}) {
    v1::JobSpec spec = TestSpec();
    *spec.mutable_exchange() = exchange;
    spec.mutable_storage()->set_uri(folder / "storage");
    spec.set_deterministic(false);
    const absl::Status started = task.Start(coordinator.address(), spec, "t");
    const auto hello = coordinator.WaitHello("ps/0");
    ok = started.ok() && hello.has_value();
    if (!ok) return;
    membership.set_generation(1);
    v1::Member* member = membership.add_members();
    member->set_task("ps/0");
    *member->mutable_endpoint() = hello->endpoint();
  }
  ~Server() { task.process().Stop(absl::Seconds(2)); }

  void SendMembership() {
    v1::TaskCommand command;
    *command.mutable_membership() = membership;
    coordinator.Send("ps/0", command);
  }

  // A line of /proc/PID/status in MiB.
  double StatusMiB(const std::string& key) {
    std::ifstream file(absl::StrCat("/proc/", task.process().pid(), "/status"));
    for (std::string line; std::getline(file, line);) {
      if (line.rfind(key + ":", 0) != 0) continue;
      return std::stod(line.substr(key.size() + 1)) / 1024;
    }
    return 0;
  }

  testing::TempFolder folder;
  FakeCoordinator coordinator{folder / "c.sock"};
  PsTask task{folder.path(), 0, 1};
  v1::Membership membership;
  bool ok = false;
};

void BM_StartParameterServer(benchmark::State& state) {
  double rss = 0;
  double anonymous = 0;
  for (auto _ : state) {
    Server server;
    if (!server.ok) state.SkipWithError("tfd-ps did not start");
    state.PauseTiming();
    rss = server.StatusMiB("VmRSS");
    anonymous = server.StatusMiB("RssAnon");
    server.task.process().Stop(absl::Seconds(2));
    state.ResumeTiming();
  }
  state.counters["rss_MiB"] = rss;
  state.counters["anon_MiB"] = anonymous;
}

v1::ExchangeSpec Over(
    Transport transport,
    v1::ExchangeSpec::Payload payload = v1::ExchangeSpec::FLOAT32,
    double top_k = 1) {
  v1::ExchangeSpec exchange;
  exchange.set_transport(transport);
  exchange.set_payload(payload);
  exchange.set_top_k(top_k);
  return exchange;
}

void PushPull(benchmark::State& state, const v1::ExchangeSpec& exchange_spec) {
  const auto bytes = static_cast<uint64_t>(state.range(0));
  Server server(exchange_spec);
  if (!server.ok) return state.SkipWithError("tfd-ps did not start");
  server.SendMembership();
  tensor::LayoutParts parts;
  parts.members = {"worker/0"};
  parts.shards = {"ps/0"};
  parts.tensors = {{"w", {static_cast<int64_t>(bytes / sizeof(float))}}};
  parts.chunk_elements = (1 << 20) / sizeof(float);
  const tensor::Layout layout = *tensor::Layout::Build(parts);
  const TestBuffers buffers(layout.elements());
  // Of many magnitudes, for top_k.
  for (size_t i = 0; i < buffers.gradient.size(); ++i) {
    buffers.gradient[i] = 1e-6f * static_cast<float>(i * 7919 % 2003);
  }
  ExchangeOptions options;
  options.task = "worker/0";
  options.generation = 1;
  options.token = "t";
  options.shards =
      *ShardAddresses(server.membership, "ps", exchange_spec.transport());
  options.payload = exchange_spec.payload();
  options.top_k = exchange_spec.top_k();
  options.memory = buffers.memory();
  options.total_steps = kManySteps;
  const absl::Time deadline = absl::Now() + absl::Minutes(5);
  auto exchange = Exchange::Open(options, layout, buffers.versions, deadline);
  if (!exchange.ok() || !(*exchange)->Initialise(deadline).ok()) {
    return state.SkipWithError("no exchange");
  }
  int64_t step = 0;
  std::vector<double> microseconds;
  for (auto _ : state) {
    const absl::Time begin = absl::Now();
    StepInfo info;
    info.step = step++;
    info.weight = 64;
    const bool ok = (*exchange)->BeginStep(info).ok() &&
                    (*exchange)->PushAll(buffers.gradient.data()).ok() &&
                    (*exchange)->WaitStep(deadline).ok();
    if (!ok) state.SkipWithError("the exchange failed");
    microseconds.push_back(absl::ToDoubleMicroseconds(absl::Now() - begin));
  }
  const auto middle = microseconds.begin() + microseconds.size() / 2;
  std::nth_element(microseconds.begin(), middle, microseconds.end());
  state.counters["p50_us"] = *middle;
  state.SetBytesProcessed(state.iterations() * 2 * state.range(0));
}

void BM_PushPull_memory(benchmark::State& state) {
  PushPull(state, Over(v1::ExchangeSpec::AUTO));
}
void BM_PushPull_unix(benchmark::State& state) {
  PushPull(state, Over(v1::ExchangeSpec::UNIX));
}
void BM_PushPull_tcp(benchmark::State& state) {
  PushPull(state, Over(v1::ExchangeSpec::TCP));
}
void BM_PushPull_memory_bfloat16(benchmark::State& state) {
  PushPull(state, Over(v1::ExchangeSpec::AUTO, v1::ExchangeSpec::BFLOAT16));
}
void BM_PushPull_tcp_bfloat16(benchmark::State& state) {
  PushPull(state, Over(v1::ExchangeSpec::TCP, v1::ExchangeSpec::BFLOAT16));
}
void BM_PushPull_tcp_bfloat16_topk(benchmark::State& state) {
  PushPull(state,
           Over(v1::ExchangeSpec::TCP, v1::ExchangeSpec::BFLOAT16, 0.01));
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Arg(4 << 10)
      ->RangeMultiplier(4)
      ->Range(64 << 10, 256 << 20)
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime();
}

BENCHMARK(BM_StartParameterServer)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(BM_PushPull_memory)->Apply(Sizes);
BENCHMARK(BM_PushPull_unix)->Apply(Sizes);
BENCHMARK(BM_PushPull_tcp)->Apply(Sizes);
BENCHMARK(BM_PushPull_memory_bfloat16)->Apply(Sizes);
BENCHMARK(BM_PushPull_tcp_bfloat16)->Apply(Sizes);
BENCHMARK(BM_PushPull_tcp_bfloat16_topk)->Apply(Sizes);

}  // namespace
}  // namespace tfd::ps

int main(int argc, char** argv) {
  // As a worker does.
  tfd::TuneForThroughput();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
