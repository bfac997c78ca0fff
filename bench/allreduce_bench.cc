// All-reduce between processes of this machine, as training does it: gradients
// to the shards, sums, sgd, new parameters to all. (A peer's all-reduce does
// the sums alone.) One line per size: the median and the best tenth of rank 0's
// steps.
//
//   usage: allreduce_bench [--seconds=S] [--chunk=BYTES] [--connections=N]
//                          PROCESSES memory|unix|tcp [BYTES…]
//
// --seconds is about how long each size takes (2); --chunk is the size of
// chunks (a job's default), --connections how many there are to each peer (1).
// memory is what a job on one host takes by itself; unix and tcp send the
// tensors through gRPC, on Unix sockets and on loopback.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/net/server.h"
#include "common/testing/temp_folder.h"
#include "common/tuning.h"
#include "ps/shard_service.h"
#include "tests/ps/exchange_fixture.h"

namespace tfd::ps {
namespace {

constexpr int kMaxSteps = 20'000;
constexpr uint64_t kChunkBytes = 1 << 20;

struct Bench {
  std::string folder;
  int processes;
  std::string transport;
  double seconds_per_size;
  uint64_t chunk_bytes;
  uint32_t connections;
};

// Where rank `rank` listens on TCP is in this file once it does.
std::string AddressFile(const Bench& bench, int rank) {
  return absl::StrCat(bench.folder, "/tcp", rank);
}

absl::StatusOr<std::unique_ptr<net::Server>> ListenOnTcp(
    const Bench& bench, int rank, grpc::Service* service) {
  net::ServerOptions options;
  options.max_message_bytes = kMaxShardMessageBytes;
  auto server = net::Server::Start(options, {service});
  if (!server.ok()) return server;
  // Renamed when it is complete: the others read it as soon as it is there.
  const std::string file = AddressFile(bench, rank);
  std::ofstream(file + ".partial") << (*server)->endpoint().tcp();
  if (std::rename((file + ".partial").c_str(), file.c_str()) != 0) {
    return absl::InternalError("cannot rename to " + file);
  }
  return server;
}

absl::StatusOr<ShardAddress> AddressOf(const Bench& bench, int rank) {
  ShardAddress address = {absl::StrCat("worker/", rank), "", ""};
  const std::string socket =
      absl::StrCat(bench.folder, "/ps", rank, "-g1.sock");
  if (bench.transport != "tcp") {
    address.target = "unix:" + socket;
    if (bench.transport == "memory") address.memory_path = socket + ".mem";
    return address;
  }
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (address.target.empty()) {
    std::ifstream(AddressFile(bench, rank)) >> address.target;
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(address.task + " does not listen");
    }
    absl::SleepFor(absl::Milliseconds(1));
  }
  return address;
}

// As many for every rank: they are decided by the size alone.
int StepsFor(uint64_t bytes, double seconds) {
  const double seconds_per_step = 50e-6 + static_cast<double>(bytes) / 1.5e9;
  return std::clamp(static_cast<int>(seconds / seconds_per_step), 20,
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
  const auto service = MakeShardService(&own.host(), kTestToken);
  const auto tcp = ListenOnTcp(bench, rank, service.get());
  if (!tcp.ok()) return Fail(tcp.status());
  tensor::LayoutParts parts;
  ExchangeOptions options;
  for (int i = 0; i < bench.processes; ++i) {
    const auto address = AddressOf(bench, i);
    if (!address.ok()) return Fail(address.status());
    parts.members.push_back(address->task);
    parts.shards.push_back(address->task);
    options.shards.push_back(*address);
  }
  parts.tensors = {{"w", {static_cast<int64_t>(bytes / sizeof(float))}}};
  parts.chunk_elements = bench.chunk_bytes / sizeof(float);
  const auto layout = tensor::Layout::Build(parts);
  if (!layout.ok()) return Fail(layout.status());
  const TestBuffers buffers(layout->elements());
  std::fill(buffers.gradient.begin(), buffers.gradient.end(), 1e-3f);
  const int steps = StepsFor(bytes, bench.seconds_per_size);
  options.task = parts.members[rank];
  options.generation = 1;
  options.token = kTestToken;
  options.slot = static_cast<uint32_t>(rank);
  options.connections = bench.connections;
  options.total_steps = int64_t{1} << 40;
  options.own_shard = &own.host();
  options.memory = buffers.memory();
  const absl::Time deadline = absl::Now() + absl::Minutes(5);
  auto exchange = Exchange::Open(options, *layout, buffers.versions, deadline);
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
  double seconds = 2;
  uint64_t chunk_bytes = tfd::ps::kChunkBytes;
  uint32_t connections = 1;
  for (; argc > 1 && std::strncmp(argv[1], "--", 2) == 0; ++argv, --argc) {
    if (std::strncmp(argv[1], "--seconds=", 10) == 0) {
      seconds = std::atof(argv[1] + 10);
    } else if (std::strncmp(argv[1], "--chunk=", 8) == 0) {
      chunk_bytes = std::strtoull(argv[1] + 8, nullptr, 10);
    } else if (std::strncmp(argv[1], "--connections=", 14) == 0) {
      connections = static_cast<uint32_t>(std::atoi(argv[1] + 14));
    }
  }
  const std::string transport = argc < 3 ? "" : argv[2];
  if (transport != "memory" && transport != "unix" && transport != "tcp") {
    std::fprintf(stderr,
                 "usage: allreduce_bench [--seconds=S] [--chunk=BYTES] "
                 "[--connections=N] PROCESSES memory|unix|tcp [BYTES...]\n");
    return 2;
  }
  tfd::TuneForThroughput();
  std::vector<uint64_t> sizes;
  for (int i = 3; i < argc; ++i)
    sizes.push_back(std::strtoull(argv[i], nullptr, 10));
  if (sizes.empty()) sizes = {4 << 10, 64 << 10, 1 << 20, 4 << 20, 64 << 20};
  for (const uint64_t size : sizes) {
    tfd::testing::TempFolder folder;
    const tfd::ps::Bench bench = {folder.path(), std::atoi(argv[1]),
                                  transport,     seconds,
                                  chunk_bytes,   connections};
    if (tfd::ps::RunSize(bench, size) != 0) return 1;
  }
  return 0;
}
