#include "common/interrupt.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

namespace tfd {
namespace {

// Signals go to this very thread: other threads of a test executable, started
// before the Interrupt, do not block them.
void SendToThisThread(int number) { pthread_kill(pthread_self(), number); }

bool IsBlocked(int number) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return sigismember(&mask, number) == 1;
}

bool IsReadable(int descriptor) {
  pollfd one{descriptor, POLLIN, 0};
  return poll(&one, 1, 0) == 1;
}

TEST(InterruptTest, EachSignalIsReportedOnce) {
  Interrupt interrupt;
  SendToThisThread(SIGINT);
  EXPECT_EQ(interrupt.Wait(absl::InfiniteDuration()), SIGINT);
  SendToThisThread(SIGTERM);
  EXPECT_EQ(interrupt.Wait(absl::InfiniteDuration()), SIGTERM);
  EXPECT_EQ(interrupt.Wait(absl::ZeroDuration()), 0);
}

TEST(InterruptTest, WakeEndsAWaitInAnotherThreadAndIsRememberedForTheNext) {
  Interrupt interrupt;
  std::thread waiter(
      [&] { EXPECT_EQ(interrupt.Wait(absl::InfiniteDuration()), 0); });
  interrupt.Wake();
  waiter.join();
  interrupt.Wake();
  EXPECT_EQ(interrupt.Wait(absl::InfiniteDuration()), 0);
  EXPECT_FALSE(IsReadable(interrupt.descriptor()));
}

TEST(InterruptTest, ItsDescriptorIsReadableWhenAWaitWouldNotBlock) {
  Interrupt interrupt;
  EXPECT_FALSE(IsReadable(interrupt.descriptor()));
  interrupt.Wake();
  EXPECT_TRUE(IsReadable(interrupt.descriptor()));
  interrupt.Wait(absl::ZeroDuration());
  SendToThisThread(SIGTERM);
  EXPECT_TRUE(IsReadable(interrupt.descriptor()));
  EXPECT_EQ(interrupt.Wait(absl::ZeroDuration()), SIGTERM);
  EXPECT_FALSE(IsReadable(interrupt.descriptor()));
}

TEST(InterruptTest, SignalsAreBlockedInItsThreadsWhileItIsThere) {
  {
    Interrupt interrupt;
    std::thread([] {
      EXPECT_TRUE(IsBlocked(SIGINT));
      EXPECT_TRUE(IsBlocked(SIGTERM));
    }).join();
    // One that comes when the program is ending anyway does no harm.
    SendToThisThread(SIGTERM);
  }
  EXPECT_FALSE(IsBlocked(SIGINT));
  EXPECT_FALSE(IsBlocked(SIGTERM));
}

TEST(InterruptTest, AClosedPipeIsAnErrorAndNoSignal) {
  Interrupt interrupt;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  EXPECT_EQ(write(ends[1], "x", 1), -1);
  close(ends[1]);
}

}  // namespace
}  // namespace tfd
