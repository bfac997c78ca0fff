#include "common/child_launch.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/status.h"

namespace tfd::internal {
namespace {

constexpr int kFirstOtherDescriptor = 3;

enum class Stage : int { kSession, kParent, kFolder, kStandard, kExec };

// What the child says, over a pipe that a successful exec closes.
struct Failure {
  Stage stage;
  int error;
};

// Everything the child needs, made before the fork: between fork and exec only
// async-signal-safe calls are allowed, so no memory can be allocated.
struct Prepared {
  const LaunchPlan* plan;
  std::vector<char*> arguments;
  std::vector<std::string> environment_texts;
  std::vector<char*> environment;
  pid_t parent;
  int failure_pipe;
};

Prepared Prepare(const LaunchPlan& plan) {
  Prepared prepared;
  prepared.plan = &plan;
  for (const std::string& argument : plan.command) {
    prepared.arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  prepared.arguments.push_back(nullptr);
  if (plan.environment.has_value()) {
    for (const auto& [name, value] : *plan.environment) {
      prepared.environment_texts.push_back(absl::StrCat(name, "=", value));
    }
    for (const std::string& text : prepared.environment_texts) {
      prepared.environment.push_back(const_cast<char*>(text.c_str()));
    }
  } else {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      prepared.environment.push_back(*entry);
    }
  }
  prepared.environment.push_back(nullptr);
  prepared.parent = getpid();
  return prepared;
}

void CloseOthersOnExec() {
  if (syscall(SYS_close_range, kFirstOtherDescriptor, ~0U,
              CLOSE_RANGE_CLOEXEC) == 0) {
    return;
  }
  // Linux before 5.11.
  const long limit = sysconf(_SC_OPEN_MAX);
  for (int descriptor = kFirstOtherDescriptor; descriptor < limit;
       ++descriptor) {
    fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  }
}

// The parent may block SIGTERM (Interrupt) and ignore SIGPIPE; both would be
// inherited through exec.
void ResetSignals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) {
    sigaction(number, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void Fail(const Prepared& prepared, Stage stage) {
  const Failure failure{stage, errno};
  [[maybe_unused]] const ssize_t ignored =
      write(prepared.failure_pipe, &failure, sizeof(failure));
  _exit(127);
}

[[noreturn]] void RunChild(const Prepared& prepared) {
  const LaunchPlan& plan = *prepared.plan;
  if (plan.new_session && setsid() < 0) Fail(prepared, Stage::kSession);
  if (plan.dies_with_parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) Fail(prepared, Stage::kParent);
    // It may have died before prctl; then nobody would ever tell.
    if (getppid() != prepared.parent) _exit(127);
  }
  if (!plan.folder.empty() && chdir(plan.folder.c_str()) != 0) {
    Fail(prepared, Stage::kFolder);
  }
  for (int number = 0; number < kFirstOtherDescriptor; ++number) {
    const UniqueDescriptor& source = plan.standard[number];
    if (source.valid() && dup2(source.get(), number) < 0) {
      Fail(prepared, Stage::kStandard);
    }
  }
  CloseOthersOnExec();
  ResetSignals();
  execve(prepared.arguments[0], prepared.arguments.data(),
         prepared.environment.data());
  Fail(prepared, Stage::kExec);
}

pid_t Fork(const Prepared& prepared) {
  sigset_t all, before;
  sigfillset(&all);
  // No handler of the parent may run in the child.
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = fork();
  if (pid == 0) RunChild(prepared);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

// PR_SET_PDEATHSIG fires when the thread that forked ends, not the process. So
// such children are forked by a thread that never ends.
class ForkThread {
 public:
  static ForkThread& Get() {
    // Never destroyed: the thread is to live as long as the process.
    static ForkThread* const thread = new ForkThread();
    return *thread;
  }

  // `error_number` is errno where the result is negative.
  pid_t Fork(const Prepared& prepared, int* error_number) {
    absl::MutexLock one_at_a_time(&callers_);
    absl::MutexLock lock(&mutex_);
    request_ = &prepared;
    mutex_.Await(absl::Condition(
        +[](const Prepared** request) { return *request == nullptr; },
        &request_));
    *error_number = error_;
    return pid_;
  }

 private:
  ForkThread() {
    std::thread([this] { Run(); }).detach();
  }

  void Run() {
    absl::MutexLock lock(&mutex_);
    while (true) {
      mutex_.Await(absl::Condition(
          +[](const Prepared** request) { return *request != nullptr; },
          &request_));
      pid_ = internal::Fork(*request_);
      error_ = errno;
      request_ = nullptr;
    }
  }

  absl::Mutex callers_ ABSL_ACQUIRED_BEFORE(mutex_);
  absl::Mutex mutex_;
  const Prepared* request_ ABSL_GUARDED_BY(mutex_) = nullptr;
  pid_t pid_ ABSL_GUARDED_BY(mutex_) = -1;
  int error_ ABSL_GUARDED_BY(mutex_) = 0;
};

absl::Status Explain(const LaunchPlan& plan, const Failure& failure) {
  const std::string& program = plan.command[0];
  std::string what = absl::StrCat("cannot start ", program);
  switch (failure.stage) {
    case Stage::kSession:
      absl::StrAppend(&what, " in a session of its own");
      break;
    case Stage::kParent:
      absl::StrAppend(&what, " to end with its parent");
      break;
    case Stage::kFolder:
      absl::StrAppend(&what, " in the folder ", plan.folder);
      break;
    case Stage::kStandard:
      absl::StrAppend(&what, ": its input or output");
      break;
    case Stage::kExec:
      break;
  }
  return ErrnoStatus(failure.error, what);
}

}  // namespace

UniqueDescriptor AboveStandard(UniqueDescriptor descriptor) {
  if (descriptor.get() >= kFirstOtherDescriptor || !descriptor.valid()) {
    return descriptor;
  }
  return UniqueDescriptor(
      fcntl(descriptor.get(), F_DUPFD_CLOEXEC, kFirstOtherDescriptor));
}

absl::StatusOr<Launched> Launch(const LaunchPlan& plan) {
  if (plan.command.empty()) {
    return absl::InvalidArgumentError("cannot start an empty command");
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  const UniqueDescriptor reader(ends[0]);
  UniqueDescriptor writer = AboveStandard(UniqueDescriptor(ends[1]));
  Prepared prepared = Prepare(plan);
  prepared.failure_pipe = writer.get();
  int error = 0;
  pid_t pid = -1;
  if (plan.dies_with_parent) {
    pid = ForkThread::Get().Fork(prepared, &error);
  } else {
    pid = Fork(prepared);
    error = errno;
  }
  if (pid < 0) {
    return ErrnoStatus(error, absl::StrCat("cannot start ", plan.command[0]));
  }
  writer.Reset();
  Failure failure;
  ssize_t got;
  do {
    got = read(reader.get(), &failure, sizeof(failure));
  } while (got < 0 && errno == EINTR);
  if (got == sizeof(failure)) {
    waitpid(pid, nullptr, 0);
    return Explain(plan, failure);
  }
  UniqueDescriptor pid_descriptor(
      static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pid_descriptor.valid()) {
    const absl::Status status =
        ErrnoStatus(errno, "cannot watch a child (pidfd_open, Linux 5.3)");
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return status;
  }
  return Launched{pid, std::move(pid_descriptor)};
}

}  // namespace tfd::internal
