// What child_process_test runs: see the test for what each word is for.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "common/child_process.h"

namespace {

// Its open descriptors, blocked and ignored signals, one line each.
int PrintInherited() {
  std::string line = "descriptors";
  for (int descriptor = 0; descriptor < 1024; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) >= 0) {
      line += " " + std::to_string(descriptor);
    }
  }
  std::puts(line.c_str());
  sigset_t blocked;
  sigprocmask(SIG_SETMASK, nullptr, &blocked);
  line = "signals";
  for (int number = 1; number < SIGRTMIN; ++number) {
    struct sigaction action;
    if (sigaction(number, nullptr, &action) != 0) continue;
    if (sigismember(&blocked, number) == 1 || action.sa_handler == SIG_IGN) {
      line += " " + std::to_string(number);
    }
  }
  std::puts(line.c_str());
  return 0;
}

// Starts a child that is to die with it, from a thread that ends at once;
// writes the child's pid to `path` once the thread has ended; then waits.
int Parent(const char* path) {
  tfd::ChildOptions options;
  options.command = {"/bin/sleep", "1000"};
  options.dies_with_parent = true;
  pid_t pid = -1;
  std::thread([&] {
    absl::StatusOr<tfd::ChildProcess> child = tfd::ChildProcess::Start(options);
    if (child.ok()) pid = child->Release();
  }).join();
  const int descriptor = open(path, O_WRONLY);
  if (write(descriptor, &pid, sizeof(pid)) != sizeof(pid)) return 1;
  while (true) pause();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "inherited") == 0) {
    return PrintInherited();
  }
  if (argc == 3 && std::strcmp(argv[1], "parent") == 0) return Parent(argv[2]);
  return 2;
}
