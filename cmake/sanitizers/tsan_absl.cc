// Makes ThreadSanitizer see Abseil's synchronisation.
//
// Debian's libabsl is not instrumented, so that ThreadSanitizer takes all that
// an absl::Mutex guards for a race. The tsan preset links this file into every
// program: each function below takes the place of Abseil's, for libgrpc too,
// calls it, and tells ThreadSanitizer what it orders: everything before an
// unlock happens before what follows a later lock.
//
// Abseil may evaluate another thread's absl::Condition inside a lock or an
// unlock. Reads are not watched meanwhile: the mutex is held then, which the
// order told here does not show.
#include <dlfcn.h>

#include <cstdlib>

#include "absl/synchronization/barrier.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
}

namespace {

void* Next(const char* symbol) {
  void* found = dlsym(RTLD_NEXT, symbol);
  if (found == nullptr) std::abort();
  return found;
}

struct IgnoreReads {
  IgnoreReads() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~IgnoreReads() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
};

}  // namespace

// The symbol of a function of Abseil, whose inline namespace Debian has
// renamed.
#define TFD_SYMBOL(name_and_arguments) "_ZN4absl7debian3" name_and_arguments
#define TFD_CONST_SYMBOL(name_and_arguments) \
  "_ZNK4absl7debian3" name_and_arguments

// Defines `function` in place of the one with that symbol: `before` happens,
// then the real call, then `after`, where `result` is what it returned.
#define TFD_REPLACE(result_type, function, symbol, parameters, arguments, \
                    before, after)                                        \
  extern "C" result_type function parameters __asm__(symbol);             \
  extern "C" result_type function parameters {                            \
    using Real = result_type(*) parameters;                               \
    static Real real = reinterpret_cast<Real>(Next(symbol));              \
    before;                                                               \
    result_type result;                                                   \
    {                                                                     \
      IgnoreReads ignore;                                                 \
      result = real arguments;                                            \
    }                                                                     \
    after;                                                                \
    return result;                                                        \
  }

#define TFD_REPLACE_VOID(function, symbol, parameters, arguments, before, \
                         after)                                           \
  extern "C" void function parameters __asm__(symbol);                    \
  extern "C" void function parameters {                                   \
    using Real = void(*) parameters;                                      \
    static Real real = reinterpret_cast<Real>(Next(symbol));              \
    before;                                                               \
    {                                                                     \
      IgnoreReads ignore;                                                 \
      real arguments;                                                     \
    }                                                                     \
    after;                                                                \
  }

using absl::Barrier;
using absl::BlockingCounter;
using absl::Condition;
using absl::CondVar;
using absl::Duration;
using absl::Mutex;
using absl::Notification;
using absl::Time;

TFD_REPLACE_VOID(MutexLock, TFD_SYMBOL("5Mutex4LockEv"), (Mutex * mu), (mu), ,
                 __tsan_acquire(mu))
TFD_REPLACE_VOID(MutexUnlock, TFD_SYMBOL("5Mutex6UnlockEv"), (Mutex * mu), (mu),
                 __tsan_release(mu), )
TFD_REPLACE(bool, MutexTryLock, TFD_SYMBOL("5Mutex7TryLockEv"), (Mutex * mu),
            (mu), , if (result) __tsan_acquire(mu))
TFD_REPLACE_VOID(MutexReaderLock, TFD_SYMBOL("5Mutex10ReaderLockEv"),
                 (Mutex * mu), (mu), , __tsan_acquire(mu))
TFD_REPLACE_VOID(MutexReaderUnlock, TFD_SYMBOL("5Mutex12ReaderUnlockEv"),
                 (Mutex * mu), (mu), __tsan_release(mu), )
TFD_REPLACE(bool, MutexReaderTryLock, TFD_SYMBOL("5Mutex13ReaderTryLockEv"),
            (Mutex * mu), (mu), , if (result) __tsan_acquire(mu))

TFD_REPLACE_VOID(MutexLockWhen, TFD_SYMBOL("5Mutex8LockWhenERKNS0_9ConditionE"),
                 (Mutex * mu, const Condition& condition), (mu, condition), ,
                 __tsan_acquire(mu))
TFD_REPLACE_VOID(MutexReaderLockWhen,
                 TFD_SYMBOL("5Mutex14ReaderLockWhenERKNS0_9ConditionE"),
                 (Mutex * mu, const Condition& condition), (mu, condition), ,
                 __tsan_acquire(mu))
TFD_REPLACE(bool, MutexLockWhenWithTimeout,
            TFD_SYMBOL("5Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_"
                       "8DurationE"),
            (Mutex * mu, const Condition& condition, Duration timeout),
            (mu, condition, timeout), , __tsan_acquire(mu))
TFD_REPLACE(bool, MutexLockWhenWithDeadline,
            TFD_SYMBOL("5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_"
                       "4TimeE"),
            (Mutex * mu, const Condition& condition, Time deadline),
            (mu, condition, deadline), , __tsan_acquire(mu))
TFD_REPLACE_VOID(MutexAwait, TFD_SYMBOL("5Mutex5AwaitERKNS0_9ConditionE"),
                 (Mutex * mu, const Condition& condition), (mu, condition),
                 __tsan_release(mu), __tsan_acquire(mu))
TFD_REPLACE(bool, MutexAwaitWithTimeout,
            TFD_SYMBOL("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_"
                       "8DurationE"),
            (Mutex * mu, const Condition& condition, Duration timeout),
            (mu, condition, timeout), __tsan_release(mu), __tsan_acquire(mu))
TFD_REPLACE(bool, MutexAwaitWithDeadline,
            TFD_SYMBOL("5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE"),
            (Mutex * mu, const Condition& condition, Time deadline),
            (mu, condition, deadline), __tsan_release(mu), __tsan_acquire(mu))

TFD_REPLACE_VOID(CondVarWait, TFD_SYMBOL("7CondVar4WaitEPNS0_5MutexE"),
                 (CondVar * cv, Mutex* mu), (cv, mu), __tsan_release(mu),
                 __tsan_acquire(mu))
TFD_REPLACE(bool, CondVarWaitWithTimeout,
            TFD_SYMBOL("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE"),
            (CondVar * cv, Mutex* mu, Duration timeout), (cv, mu, timeout),
            __tsan_release(mu), __tsan_acquire(mu))
TFD_REPLACE(bool, CondVarWaitWithDeadline,
            TFD_SYMBOL("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE"),
            (CondVar * cv, Mutex* mu, Time deadline), (cv, mu, deadline),
            __tsan_release(mu), __tsan_acquire(mu))

TFD_REPLACE_VOID(NotificationNotify, TFD_SYMBOL("12Notification6NotifyEv"),
                 (Notification * done), (done), __tsan_release(done), )
TFD_REPLACE_VOID(NotificationWait,
                 TFD_CONST_SYMBOL("12Notification19WaitForNotificationEv"),
                 (Notification * done), (done), , __tsan_acquire(done))
TFD_REPLACE(bool, NotificationWaitWithTimeout,
            TFD_CONST_SYMBOL("12Notification30WaitForNotificationWithTimeoutE"
                             "NS0_8DurationE"),
            (Notification * done, Duration timeout), (done, timeout), ,
            if (result) __tsan_acquire(done))
TFD_REPLACE(bool, NotificationWaitWithDeadline,
            TFD_CONST_SYMBOL("12Notification31WaitForNotificationWithDeadlineE"
                             "NS0_4TimeE"),
            (Notification * done, Time deadline), (done, deadline), ,
            if (result) __tsan_acquire(done))

TFD_REPLACE(bool, BlockingCounterDecrement,
            TFD_SYMBOL("15BlockingCounter14DecrementCountEv"),
            (BlockingCounter * counter), (counter), __tsan_release(counter), )
TFD_REPLACE_VOID(BlockingCounterWait, TFD_SYMBOL("15BlockingCounter4WaitEv"),
                 (BlockingCounter * counter), (counter), ,
                 __tsan_acquire(counter))
TFD_REPLACE(bool, BarrierBlock, TFD_SYMBOL("7Barrier5BlockEv"),
            (Barrier * barrier), (barrier), __tsan_release(barrier),
            __tsan_acquire(barrier))
