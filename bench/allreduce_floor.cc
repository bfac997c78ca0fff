// The least that an all-reduce between processes of this machine takes: each
// rank sums its part straight from everybody's gradients, which lie in shared
// memory, and the others copy it. No optimizer, no checks, no protocol; futexes
// wake who waits. One line per size: the median and the best tenth of rank 0's
// steps. What bench/allreduce_bench is held against.
//
//   usage: allreduce_floor [--seconds=S] PROCESSES [BYTES…]
//
// --seconds is about how long each size takes (2).
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace {

constexpr int kMaxProcesses = 16;
constexpr int kMaxSteps = 20'000;
// What a rank sums before it lets the others have it.
constexpr size_t kPieceFloats = (256 << 10) / sizeof(float);

// A count that one rank raises and the others wait for.
struct alignas(64) Count {
  std::atomic<uint32_t> value{0};

  void Raise(uint32_t to) {
    value.store(to, std::memory_order_release);
    syscall(SYS_futex, &value, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }
  void WaitFor(uint32_t at_least) {
    while (true) {
      const uint32_t now = value.load(std::memory_order_acquire);
      if (now >= at_least) return;
      syscall(SYS_futex, &value, FUTEX_WAIT, now, nullptr, nullptr, 0);
    }
  }
};

struct Counts {
  Count ready[kMaxProcesses];   // steps whose gradient is there
  Count summed[kMaxProcesses];  // pieces of its part, of all steps
};

void* Share(size_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory != MAP_FAILED) return memory;
  std::perror("mmap");
  std::exit(1);
}

struct Rank {
  int number;
  int processes;
  size_t floats;
  Counts* counts;
  std::vector<const float*> gradients;
  // Of each rank, what it has summed: of even and of odd steps, since the
  // others may still copy the one while the next is summed.
  std::vector<float*> sums[2];

  size_t Begin(int rank) const { return floats * rank / processes; }
  uint32_t Pieces(int rank) const {
    return static_cast<uint32_t>(
        (Begin(rank + 1) - Begin(rank) + kPieceFloats - 1) / kPieceFloats);
  }

  void Step(uint32_t step, float* result) {
    counts->ready[number].Raise(step + 1);
    for (int rank = 0; rank < processes; ++rank) {
      counts->ready[rank].WaitFor(step + 1);
    }
    float* const own = sums[step % 2][number];
    uint32_t done = step * Pieces(number);
    for (size_t at = Begin(number); at < Begin(number + 1);
         at += kPieceFloats) {
      const size_t end = std::min(at + kPieceFloats, Begin(number + 1));
      for (size_t i = at; i < end; ++i) {
        float sum = gradients[0][i];
        for (int rank = 1; rank < processes; ++rank) sum += gradients[rank][i];
        own[i] = sum;
      }
      counts->summed[number].Raise(++done);
      std::memcpy(result + at, own + at, (end - at) * sizeof(float));
    }
    for (int other = 1; other < processes; ++other) {
      const int rank = (number + other) % processes;
      uint32_t piece = step * Pieces(rank);
      for (size_t at = Begin(rank); at < Begin(rank + 1); at += kPieceFloats) {
        const size_t end = std::min(at + kPieceFloats, Begin(rank + 1));
        counts->summed[rank].WaitFor(++piece);
        std::memcpy(result + at, sums[step % 2][rank] + at,
                    (end - at) * sizeof(float));
      }
    }
  }
};

void Measure(int processes, size_t bytes, double seconds) {
  Rank rank;
  rank.processes = processes;
  rank.floats = bytes / sizeof(float);
  rank.counts = new (Share(sizeof(Counts))) Counts;
  for (int i = 0; i < processes; ++i) {
    auto* gradient = static_cast<float*>(Share(bytes));
    std::fill_n(gradient, rank.floats, 1e-3f);
    rank.gradients.push_back(gradient);
    for (auto& sums : rank.sums) {
      sums.push_back(static_cast<float*>(Share(bytes)));
    }
  }
  const int steps = std::clamp(
      static_cast<int>(seconds / (20e-6 + static_cast<double>(bytes) / 3e9)),
      20, kMaxSteps);
  for (int i = 1; i < processes; ++i) {
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    rank.number = i;
    std::vector<float> result(rank.floats);
    for (int step = 0; step < steps; ++step) rank.Step(step, result.data());
    _exit(0);
  }
  rank.number = 0;
  std::vector<float> result(rank.floats);
  std::vector<double> times;
  for (int step = 0; step < steps; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    rank.Step(step, result.data());
    times.push_back(std::chrono::duration<double, std::micro>(
                        std::chrono::steady_clock::now() - begin)
                        .count());
  }
  while (wait(nullptr) > 0) {
  }
  for (int i = 0; i < processes; ++i) {
    munmap(const_cast<float*>(rank.gradients[i]), bytes);
    for (auto& sums : rank.sums) munmap(sums[i], bytes);
  }
  munmap(rank.counts, sizeof(Counts));
  std::sort(times.begin(), times.end());
  std::printf("{\"bytes\": %zu, \"p50_us\": %.1f, \"p10_us\": %.1f}\n", bytes,
              times[times.size() / 2], times[times.size() / 10]);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 2;
  if (argc > 1 && std::strncmp(argv[1], "--seconds=", 10) == 0) {
    seconds = std::atof(argv[1] + 10);
    ++argv;
    --argc;
  }
  const int processes = argc < 2 ? 0 : std::atoi(argv[1]);
  if (processes < 1 || processes > kMaxProcesses) {
    std::fprintf(stderr,
                 "usage: allreduce_floor [--seconds=S] PROCESSES [BYTES...]\n");
    return 2;
  }
  std::vector<size_t> sizes;
  for (int i = 2; i < argc; ++i) {
    sizes.push_back(std::strtoull(argv[i], nullptr, 10));
  }
  if (sizes.empty()) sizes = {4 << 10, 64 << 10, 1 << 20, 4 << 20, 64 << 20};
  for (const size_t bytes : sizes) Measure(processes, bytes, seconds);
  return 0;
}
