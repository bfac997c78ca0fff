// All-reduce between processes of this machine, as training does it: gradients
// to the shards, sums, sgd, new parameters to all. (A peer's all-reduce does
// the sums alone.) One line per size: the median and the best tenth of rank 0's
// steps.
//
//   usage: allreduce_bench PROCESSES TRANSPORT [BYTES…]     TRANSPORT:
//   memory|tcp
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/net/endpoint.h"
#include "common/testing/temp_folder.h"
#include "ps/ps_process.h"
#include "ps/shard_task.h"
#include "tests/ps/exchange_fixture.h"

namespace tfd::ps {
namespace {

constexpr absl::Duration kPerSize = absl::Seconds(2);
constexpr int kMaxSteps = 20'000;
constexpr uint64_t kChunkBytes = 1 << 20;

struct Bench {
  std::string folder;
  int processes;
  bool memory;
};

// As many for every rank: they are decided by the size alone.
int StepsFor(uint64_t bytes) {
  const double seconds_per_step = 50e-6 + static_cast<double>(bytes) / 1.5e9;
  return std::clamp(
      static_cast<int>(absl::ToDoubleSeconds(kPerSize) / seconds_per_step), 20,
      kMaxSteps);
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

// One rank for one size.
int RunRank(const Bench& bench, int rank, uint64_t bytes) {
  v1::JobSpec spec = TestSpec();
  spec.set_deterministic(false);
  TestCluster cluster(bench.folder, 0, 1, spec, {}, TestTransport::kOwnShards);
  TestShard own(bench.folder, rank, 1, spec, {}, TestTransport::kOwnShards);
  own.SetMembership();
  tensor::LayoutParts parts;
  ExchangeOptions options;
  for (int i = 0; i < bench.processes; ++i) {
    const std::string task = absl::StrCat("worker/", i);
    parts.members.push_back(task);
    parts.shards.push_back(task);
    const std::string socket = absl::StrCat(bench.folder, "/ps", i, "-g1.sock");
    options.shards.push_back({task, "unix:" + socket,
                              bench.memory ? socket + ".mem" : std::string()});
  }
  parts.tensors = {{"w", {static_cast<int64_t>(bytes / sizeof(float))}}};
  parts.chunk_elements = kChunkBytes / sizeof(float);
  const auto layout = tensor::Layout::Build(parts);
  if (!layout.ok()) return Fail(layout.status());
  const TestBuffers buffers(layout->elements());
  std::fill(buffers.gradient.begin(), buffers.gradient.end(), 1e-3f);
  const int steps = StepsFor(bytes);
  options.task = parts.members[rank];
  options.generation = 1;
  options.token = kTestToken;
  options.slot = static_cast<uint32_t>(rank);
  options.total_steps = int64_t{1} << 40;
  options.own_shard = &own.host();
  options.memory = {buffers.memory.get()};
  const absl::Time deadline = absl::Now() + absl::Minutes(5);
  auto exchange =
      Exchange::Open(options, *layout, buffers.parameters, deadline);
  if (!exchange.ok()) return Fail(exchange.status());
  absl::Status status = (*exchange)->Initialise(deadline);
  std::vector<double> microseconds;
  for (int step = 0; step < steps && status.ok(); ++step) {
    const absl::Time begin = absl::Now();
    StepInfo info;
    info.step = step;
    info.weight = 1;
    status = (*exchange)->BeginStep(info);
    if (status.ok()) status = (*exchange)->PushAll(buffers.gradient.data());
    if (status.ok()) status = (*exchange)->WaitStep(deadline);
    microseconds.push_back(absl::ToDoubleMicroseconds(absl::Now() - begin));
  }
  if (!status.ok()) return Fail(status);
  exchange->reset();
  const absl::Status left = own.host().AwaitNoStreams(absl::Seconds(30));
  if (!left.ok()) return Fail(left);
  if (rank == 0) {
    std::sort(microseconds.begin(), microseconds.end());
    std::printf("{\"bytes\": %llu, \"p50_us\": %.1f, \"p10_us\": %.1f}\n",
                static_cast<unsigned long long>(bytes),
                microseconds[microseconds.size() / 2],
                microseconds[microseconds.size() / 10]);
    std::fflush(stdout);
  }
  return 0;
}

int RunSize(const Bench& bench, uint64_t bytes) {
  std::vector<pid_t> children;
  for (int rank = 0; rank < bench.processes; ++rank) {
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      _exit(RunRank(bench, rank, bytes));
    }
    children.push_back(child);
  }
  int failed = 0;
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) failed = 1;
  }
  return failed;
}

}  // namespace
}  // namespace tfd::ps

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s PROCESSES memory|sockets [BYTES...]\n",
                 argv[0]);
    return 2;
  }
  tfd::ps::TuneAllocator();
  std::vector<uint64_t> sizes;
  for (int i = 3; i < argc; ++i)
    sizes.push_back(std::strtoull(argv[i], nullptr, 10));
  if (sizes.empty()) sizes = {4 << 10, 64 << 10, 1 << 20, 4 << 20, 64 << 20};
  for (const uint64_t size : sizes) {
    tfd::testing::TempFolder folder;
    const tfd::ps::Bench bench = {folder.path(), std::atoi(argv[1]),
                                  std::string(argv[2]) == "memory"};
    if (tfd::ps::RunSize(bench, size) != 0) return 1;
  }
  return 0;
}
