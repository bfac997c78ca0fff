#include "common/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/child_launch.h"
#include "common/poll.h"
#include "common/status.h"
#include "common/unique_descriptor.h"
#include "common/units.h"

namespace tfd {
namespace {

using internal::AboveStandard;
using internal::Launched;
using internal::LaunchPlan;

// More than this of a program that answers in a few lines is a mistake.
constexpr size_t kMaxOutputBytes = 16 << 20;

absl::StatusOr<UniqueDescriptor> OpenForChild(const std::string& path,
                                              int flags) {
  UniqueDescriptor descriptor = AboveStandard(
      UniqueDescriptor(open(path.c_str(), flags | O_CLOEXEC, 0644)));
  if (descriptor.valid()) return descriptor;
  return ErrnoStatus(
      errno, absl::StrCat("cannot open ", path, " for a child process"));
}

// `text` as a file to read from its beginning; needs nobody to write it while
// the child reads.
absl::StatusOr<UniqueDescriptor> TextAsFile(absl::string_view text) {
  UniqueDescriptor file =
      AboveStandard(UniqueDescriptor(memfd_create("stdin", MFD_CLOEXEC)));
  if (!file.valid()) return ErrnoStatus(errno, "memfd_create");
  while (!text.empty()) {
    const ssize_t put = write(file.get(), text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoStatus(errno, "cannot keep a child's input");
    text.remove_prefix(static_cast<size_t>(put));
  }
  if (lseek(file.get(), 0, SEEK_SET) != 0) return ErrnoStatus(errno, "lseek");
  return file;
}

// One of a child's outputs, gathered while it runs.
class Capture {
 public:
  absl::StatusOr<UniqueDescriptor> Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
    reader_ = UniqueDescriptor(ends[0]);
    UniqueDescriptor writer = AboveStandard(UniqueDescriptor(ends[1]));
    if (fcntl(reader_.get(), F_SETFL, O_NONBLOCK) != 0 || !writer.valid()) {
      return ErrnoStatus(errno, "fcntl");
    }
    return writer;
  }

  // poll(2) passes over a descriptor of -1.
  int descriptor() const { return reader_.get(); }
  size_t size_bytes() const { return text_.size(); }

  // All that is there now, up to a little more than the limit.
  void ReadAvailable() {
    char buffer[16 << 10];
    while (reader_.valid() && text_.size() <= kMaxOutputBytes) {
      const ssize_t got = read(reader_.get(), buffer, sizeof(buffer));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) {
        reader_.Reset();
        return;
      }
      text_.append(buffer, static_cast<size_t>(got));
    }
  }

  std::string Take() { return std::move(text_); }

 private:
  UniqueDescriptor reader_;
  std::string text_;
};

}  // namespace

std::string ChildExit::ToString() const {
  if (signal == 0) return absl::StrCat("exit code ", code);
  const char* name = sigabbrev_np(signal);
  return name == nullptr ? absl::StrCat("killed by signal ", signal)
                         : absl::StrCat("killed by SIG", name);
}

absl::StatusOr<ChildProcess> ChildProcess::Start(const ChildOptions& options) {
  LaunchPlan plan;
  plan.command = options.command;
  plan.environment = options.environment;
  plan.folder = options.folder;
  plan.dies_with_parent = options.dies_with_parent;
  plan.new_session = options.new_session;
  constexpr int kAppend = O_WRONLY | O_CREAT | O_APPEND;
  if (!options.stdout_path.empty()) {
    TFD_ASSIGN_OR_RETURN(plan.standard[1],
                         OpenForChild(options.stdout_path, kAppend));
  }
  if (!options.stderr_path.empty()) {
    TFD_ASSIGN_OR_RETURN(plan.standard[2],
                         OpenForChild(options.stderr_path, kAppend));
  }
  // Reading from a terminal of another session fails anyway.
  if (options.new_session) {
    TFD_ASSIGN_OR_RETURN(plan.standard[0], OpenForChild("/dev/null", O_RDONLY));
  }
  TFD_ASSIGN_OR_RETURN(Launched launched, internal::Launch(plan));
  return ChildProcess(launched.pid, launched.pid_descriptor.Release());
}

ChildProcess::ChildProcess(pid_t pid, int pid_descriptor)
    : pid_(pid), pid_descriptor_(pid_descriptor) {}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pid_descriptor_(std::exchange(other.pid_descriptor_, -1)),
      exit_(std::exchange(other.exit_, std::nullopt)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this == &other) return *this;
  Reset();
  pid_ = std::exchange(other.pid_, -1);
  pid_descriptor_ = std::exchange(other.pid_descriptor_, -1);
  exit_ = std::exchange(other.exit_, std::nullopt);
  return *this;
}

ChildProcess::~ChildProcess() { Reset(); }

void ChildProcess::Reset() {
  if (pid_ > 0 && !exit_.has_value()) {
    Signal(SIGKILL).IgnoreError();
    Wait(absl::InfiniteDuration()).status().IgnoreError();
  }
  Release();
}

pid_t ChildProcess::Release() {
  if (pid_descriptor_ >= 0) close(pid_descriptor_);
  pid_descriptor_ = -1;
  return std::exchange(pid_, -1);
}

absl::Status ChildProcess::Signal(int signal_number) {
  if (pid_ <= 0) return absl::FailedPreconditionError("there is no child");
  if (exit_.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("process ", pid_, " has ended: ", exit_->ToString()));
  }
  // By descriptor: a number might be another process's by now.
  if (syscall(SYS_pidfd_send_signal, pid_descriptor_, signal_number, nullptr,
              0) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot send signal ", signal_number,
                                           " to process ", pid_));
  }
  return absl::OkStatus();
}

absl::StatusOr<ChildExit> ChildProcess::Wait(absl::Duration timeout) {
  if (exit_.has_value()) return *exit_;
  if (pid_ <= 0) return absl::FailedPreconditionError("there is no child");
  if (!PollUntilReadable(pid_descriptor_, timeout)) {
    return absl::DeadlineExceededError(
        absl::StrCat("process ", pid_, " has not ended within ",
                     tfd::FormatDuration(timeout)));
  }
  int status = 0;
  pid_t reaped;
  do {
    reaped = waitpid(pid_, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  if (reaped < 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot wait for process ", pid_));
  }
  ChildExit result;
  if (WIFSIGNALED(status)) {
    result.signal = WTERMSIG(status);
  } else {
    result.code = WEXITSTATUS(status);
  }
  exit_ = result;
  return result;
}

ChildExit ChildProcess::Stop(absl::Duration grace) {
  Signal(SIGTERM).IgnoreError();
  absl::StatusOr<ChildExit> result = Wait(grace);
  if (absl::IsDeadlineExceeded(result.status())) {
    Signal(SIGKILL).IgnoreError();
    result = Wait(absl::InfiniteDuration());
  }
  return result.value_or(ChildExit{});
}

absl::StatusOr<std::string> ProgramFolder() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  if (length <= 0) {
    return ErrnoStatus(errno, "cannot find the folder of this program");
  }
  const absl::string_view text(path, static_cast<size_t>(length));
  const size_t slash = text.rfind('/');
  return std::string(text.substr(0, slash == 0 ? 1 : slash));
}

absl::StatusOr<RunResult> RunToEnd(const std::vector<std::string>& command,
                                   absl::string_view standard_input,
                                   absl::Duration timeout) {
  const absl::Time deadline = SteadyNow() + timeout;
  LaunchPlan plan;
  plan.command = command;
  plan.dies_with_parent = true;
  Capture output, errors;
  TFD_ASSIGN_OR_RETURN(plan.standard[0], TextAsFile(standard_input));
  TFD_ASSIGN_OR_RETURN(plan.standard[1], output.Open());
  TFD_ASSIGN_OR_RETURN(plan.standard[2], errors.Open());
  TFD_ASSIGN_OR_RETURN(Launched launched, internal::Launch(plan));
  for (UniqueDescriptor& descriptor : plan.standard) descriptor.Reset();
  // Killed and reaped by its destructor on every early return.
  ChildProcess child(launched.pid, launched.pid_descriptor.get());
  const int ended = launched.pid_descriptor.Release();
  while (true) {
    pollfd descriptors[] = {{ended, POLLIN, 0},
                            {output.descriptor(), POLLIN, 0},
                            {errors.descriptor(), POLLIN, 0}};
    if (PollUntil(descriptors, 3, deadline) == 0) {
      return absl::DeadlineExceededError(
          absl::StrCat(command[0], " did not end within ",
                       tfd::FormatDuration(timeout), " and was killed"));
    }
    // First, so that what it wrote before it ended is all there. Its own
    // children may hold the pipes open for longer; they are not waited for.
    const bool has_ended = (descriptors[0].revents & POLLIN) != 0;
    output.ReadAvailable();
    errors.ReadAvailable();
    if (output.size_bytes() > kMaxOutputBytes ||
        errors.size_bytes() > kMaxOutputBytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat(command[0], " wrote more than ",
                       FormatBytes(kMaxOutputBytes), " and was killed"));
    }
    if (!has_ended) continue;
    TFD_ASSIGN_OR_RETURN(const ChildExit exit,
                         child.Wait(absl::ZeroDuration()));
    return RunResult{exit, output.Take(), errors.Take()};
  }
}

}  // namespace tfd
