#include "common/interrupt.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "common/poll.h"

namespace tfd {
namespace {

sigset_t InterruptSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

// A program that cannot even have a descriptor at its start has no way on.
int OrDie(int descriptor, const char* what) {
  if (descriptor >= 0) return descriptor;
  std::perror(what);
  std::exit(1);
}

}  // namespace

Interrupt::Interrupt() {
  const sigset_t signals = InterruptSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal_descriptor_ =
      OrDie(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
  wake_descriptor_ = OrDie(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  poll_descriptor_ = OrDie(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  for (int descriptor : {signal_descriptor_, wake_descriptor_}) {
    epoll_event event{};
    event.events = EPOLLIN;
    OrDie(epoll_ctl(poll_descriptor_, EPOLL_CTL_ADD, descriptor, &event),
          "epoll_ctl");
  }
}

Interrupt::~Interrupt() {
  // A signal that came while the program was ending anyway must not kill it
  // in the moment signals are let through again.
  while (Wait(absl::ZeroDuration()) != 0) {
  }
  close(poll_descriptor_);
  close(wake_descriptor_);
  close(signal_descriptor_);
  const sigset_t signals = InterruptSignals();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

int Interrupt::Wait(absl::Duration timeout) {
  PollUntilReadable(poll_descriptor_, timeout);
  signalfd_siginfo info;
  if (read(signal_descriptor_, &info, sizeof(info)) == sizeof(info)) {
    return static_cast<int>(info.ssi_signo);
  }
  uint64_t wakes = 0;
  // Nothing to read is fine: the time was up.
  [[maybe_unused]] const ssize_t ignored =
      read(wake_descriptor_, &wakes, sizeof(wakes));
  return 0;
}

void Interrupt::Wake() {
  const uint64_t one = 1;
  // Fails only where there are 2^64 wakes already.
  [[maybe_unused]] const ssize_t ignored =
      write(wake_descriptor_, &one, sizeof(one));
}

}  // namespace tfd
