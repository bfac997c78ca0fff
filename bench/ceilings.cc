// What this machine moves between two processes with nothing around it: the
// ceilings that bench/exchange_bench is held against. The pattern is that of a
// step with one parameter server: chunks of 1 MiB are sent, each is answered
// with as many bytes once it has arrived, and chunks are under way in both
// directions at once. Nothing is summed. One line per size: the median and the
// best tenth of the steps; bytes count one direction, as everywhere in bench/.
//
//   usage: ceilings [--seconds=S] tcp|unix|memcpy [BYTES…]
//
// memcpy copies the bytes to a second buffer and then back, in one process and
// thread. --seconds is about how long each size takes (2).
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr uint64_t kChunkBytes = 1 << 20;
constexpr int kSocketBufferBytes = 4 << 20;
constexpr int kMaxSteps = 20'000;

int StepsFor(uint64_t bytes, double seconds) {
  const double seconds_per_step = 40e-6 + static_cast<double>(bytes) / 2e9;
  return std::clamp(static_cast<int>(seconds / seconds_per_step), 10,
                    kMaxSteps);
}

void DieUnless(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  _exit(1);
}

void SendAll(int socket, const char* data, uint64_t bytes) {
  while (bytes > 0) {
    const ssize_t sent = send(socket, data, bytes, MSG_NOSIGNAL);
    DieUnless(sent > 0, "send");
    data += sent;
    bytes -= static_cast<uint64_t>(sent);
  }
}

// False where the peer has closed before the first byte.
bool ReceiveAll(int socket, char* data, uint64_t bytes) {
  uint64_t got = 0;
  while (got < bytes) {
    const ssize_t received = recv(socket, data + got, bytes - got, 0);
    DieUnless(received >= 0, "recv");
    if (received == 0) return false;
    got += static_cast<uint64_t>(received);
  }
  return true;
}

// Both ends of a connection.
std::pair<int, int> Connect(bool tcp) {
  int ends[2];
  if (!tcp) {
    DieUnless(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
    for (const int end : ends) {
      setsockopt(end, SOL_SOCKET, SO_SNDBUF, &kSocketBufferBytes,
                 sizeof(kSocketBufferBytes));
    }
    return {ends[0], ends[1]};
  }
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  DieUnless(bind(listener, generic, length) == 0, "bind");
  DieUnless(listen(listener, 1) == 0, "listen");
  DieUnless(getsockname(listener, generic, &length) == 0, "getsockname");
  ends[0] = socket(AF_INET, SOCK_STREAM, 0);
  DieUnless(connect(ends[0], generic, length) == 0, "connect");
  ends[1] = accept(listener, nullptr, nullptr);
  DieUnless(ends[1] >= 0, "accept");
  close(listener);
  const int on = 1;
  for (const int end : ends) {
    setsockopt(end, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  return {ends[0], ends[1]};
}

// Answers each chunk of a step with as many bytes, until the peer closes.
[[noreturn]] void Serve(int socket, uint64_t bytes) {
  std::vector<char> received(bytes);
  const std::vector<char> answer(bytes, 2);
  while (true) {
    for (uint64_t at = 0; at < bytes; at += kChunkBytes) {
      const uint64_t chunk = std::min(kChunkBytes, bytes - at);
      if (!ReceiveAll(socket, received.data() + at, chunk)) _exit(0);
      SendAll(socket, answer.data() + at, chunk);
    }
  }
}

double Microseconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now() - since)
      .count();
}

std::vector<double> MeasureSockets(bool tcp, uint64_t bytes, double seconds) {
  const auto [mine, peers] = Connect(tcp);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(mine);
    Serve(peers, bytes);
  }
  close(peers);
  const std::vector<char> sent(bytes, 1);
  std::vector<char> received(bytes);
  std::vector<double> times;
  // A step of one chunk is a plain round trip; a larger one is sent by another
  // thread while the answers come in.
  const int steps = StepsFor(bytes, seconds);
  for (int step = 0; step < steps; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    std::thread sender;
    if (bytes <= kChunkBytes) {
      SendAll(mine, sent.data(), bytes);
    } else {
      sender =
          std::thread([&, mine = mine] { SendAll(mine, sent.data(), bytes); });
    }
    DieUnless(ReceiveAll(mine, received.data(), bytes), "the peer has closed");
    if (sender.joinable()) sender.join();
    times.push_back(Microseconds(begin));
  }
  close(mine);
  waitpid(child, nullptr, 0);
  return times;
}

std::vector<double> MeasureMemcpy(uint64_t bytes, double seconds) {
  std::vector<char> here(bytes, 1);
  std::vector<char> there(bytes, 2);
  std::vector<double> times;
  const int steps = StepsFor(bytes, seconds);
  for (int step = 0; step < steps; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    std::memcpy(there.data(), here.data(), bytes);
    // The compiler must not see that the copy back changes nothing.
    asm volatile("" : : "r"(there.data()) : "memory");
    std::memcpy(here.data(), there.data(), bytes);
    asm volatile("" : : "r"(here.data()) : "memory");
    times.push_back(Microseconds(begin));
  }
  return times;
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 2;
  if (argc > 1 && std::strncmp(argv[1], "--seconds=", 10) == 0) {
    seconds = std::atof(argv[1] + 10);
    ++argv;
    --argc;
  }
  const std::string kind = argc < 2 ? "" : argv[1];
  if (kind != "tcp" && kind != "unix" && kind != "memcpy") {
    std::fprintf(stderr,
                 "usage: ceilings [--seconds=S] tcp|unix|memcpy [BYTES...]\n");
    return 2;
  }
  std::vector<uint64_t> sizes;
  for (int i = 2; i < argc; ++i) {
    sizes.push_back(std::strtoull(argv[i], nullptr, 10));
  }
  if (sizes.empty()) {
    for (uint64_t size = 64 << 10; size <= 256 << 20; size *= 4) {
      sizes.push_back(size);
    }
  }
  for (const uint64_t bytes : sizes) {
    std::vector<double> times =
        kind == "memcpy" ? MeasureMemcpy(bytes, seconds)
                         : MeasureSockets(kind == "tcp", bytes, seconds);
    std::sort(times.begin(), times.end());
    std::printf("{\"bytes\": %llu, \"p50_us\": %.1f, \"p10_us\": %.1f}\n",
                static_cast<unsigned long long>(bytes), times[times.size() / 2],
                times[times.size() / 10]);
    std::fflush(stdout);
  }
  return 0;
}
