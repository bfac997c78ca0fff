#include "daemon/agent/shim.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/agent/log_file.h"
#include "daemon/agent/process.h"
#include "daemon/agent/task_folder.h"

namespace tfd::agent {
namespace {

// A pipe this large lets a task write on while the log's disk is slow.
constexpr int kPipeBytes = 1 << 20;
constexpr size_t kReadBytes = 64 << 10;
// After the end of all its writers a pipe holds at most its size; a process
// elsewhere that was handed the pipe could go on for ever.
constexpr size_t kMaxDrainBytes = 16 << 20;
// How often what is left of an ended task is killed again, and how long its
// end is waited for (a process may hang in the kernel).
constexpr int64_t kSweepIntervalMs = 20;
constexpr int64_t kMaxSweepMs = 10'000;
constexpr int kNotMineExitCode = 3;
constexpr int kCannotRunExitCode = 127;

int64_t SteadyMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

void CloseAndForget(int& descriptor) {
  if (descriptor >= 0) close(descriptor);
  descriptor = -1;
}

// A pipe of the task's output and the log it goes to.
struct Output {
  Output(std::string path, const Launch& launch)
      : log(std::move(path), launch.log_bytes, launch.log_files) {}
  LogFile log;
  int read_end = -1;
  int write_end = -1;
};

class Shim {
 public:
  Shim(std::string folder, Launch launch)
      : folder_(std::move(folder)),
        launch_(std::move(launch)),
        outputs_{Output(launch_.log_folder + "/stdout.log", launch_),
                 Output(launch_.log_folder + "/stderr.log", launch_)} {}

  int Run();

 private:
  absl::Status Prepare();
  absl::Status Fork();
  [[noreturn]] void BeTask();
  // Lets the task's process go on to its program. The error, or 0.
  int LetGo();
  void Loop();
  int PollTimeoutMs() const;
  void TakeSignals();
  void Reap();
  void Stop();
  void SignalAll(int signal_number);
  // Kills what an ended task left; true when nothing is left.
  bool Sweep();
  // Reads what is there; closes the pipe at its end. The number of bytes.
  size_t Pump(Output& output);
  void Drain();

  const std::string folder_;
  const Launch launch_;
  std::array<Output, 2> outputs_;
  int signals_ = -1;
  // The task waits for a byte before it runs its program, and gives back the
  // error where it cannot.
  std::array<int, 2> go_ = {-1, -1};
  std::array<int, 2> error_ = {-1, -1};
  pid_t task_ = -1;
  bool reaped_all_ = false;
  std::optional<ExitRecord> exit_;
  std::optional<int64_t> kill_at_ms_;
  int64_t sweep_until_ms_ = 0;
};

int Shim::Run() {
  absl::Status status = Prepare();
  if (status.ok()) status = Fork();
  if (!status.ok()) {
    ExitRecord record;
    record.kind = ExitRecord::Kind::kStartFailed;
    record.message = std::string(status.message());
    record.ended_at_ms = NowMs();
    (void)WriteExit(folder_, record);
    return 0;
  }
  const std::optional<ProcessId> self = ProcessId::Of(getpid());
  const std::optional<ProcessId> task = ProcessId::Of(task_);
  status = self && task
               ? ClaimTask(folder_, ShimRecord{*self, *task})
               : absl::InternalError("/proc does not show this process");
  if (!status.ok()) {
    // Another shim runs it, or the agent has given this launch up.
    fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    kill(task_, SIGKILL);
    return kNotMineExitCode;
  }
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(null, STDOUT_FILENO);
  close(null);
  const int error = LetGo();
  Loop();
  if (error != 0) {
    exit_->kind = ExitRecord::Kind::kStartFailed;
    exit_->message =
        absl::StrCat("cannot run ", launch_.command[0], " in ",
                     launch_.working_folder, ": ", strerror(error));
  }
  if (absl::Status written = WriteExit(folder_, *exit_); !written.ok()) {
    fprintf(stderr, "%s\n", std::string(written.message()).c_str());
  }
  return 0;
}

absl::Status Shim::Prepare() {
  if (launch_.command.empty()) {
    return absl::InvalidArgumentError("launch.json has an empty command");
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGCHLD);
  signals_ = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  if (signals_ < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 ||
      pipe2(go_.data(), O_CLOEXEC) != 0 ||
      pipe2(error_.data(), O_CLOEXEC) != 0) {
    return absl::ErrnoToStatus(errno, "cannot prepare to start the task");
  }
  for (Output& output : outputs_) {
    if (absl::Status status = output.log.Open(); !status.ok()) return status;
    std::array<int, 2> ends;
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
      return absl::ErrnoToStatus(errno, "cannot make a pipe for the output");
    }
    output.read_end = ends[0];
    output.write_end = ends[1];
    fcntl(output.read_end, F_SETFL, O_NONBLOCK);
    // A wish: refused where the user's pipes hold too much already.
    fcntl(output.read_end, F_SETPIPE_SZ, kPipeBytes);
  }
  return absl::OkStatus();
}

absl::Status Shim::Fork() {
  task_ = fork();
  if (task_ < 0) return absl::ErrnoToStatus(errno, "cannot fork");
  if (task_ == 0) BeTask();
  CloseAndForget(go_[0]);
  CloseAndForget(error_[1]);
  for (Output& output : outputs_) CloseAndForget(output.write_end);
  return absl::OkStatus();
}

void Shim::BeTask() {
  // Only the ends that belong here: with the other end of `go` open this
  // process would wait for itself.
  CloseAndForget(go_[1]);
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  char go = 0;
  ssize_t got;
  do {
    got = read(go_[0], &go, 1);
  } while (got < 0 && errno == EINTR);
  if (got != 1) _exit(kCannotRunExitCode);

  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(outputs_[0].write_end, STDOUT_FILENO);
  dup2(outputs_[1].write_end, STDERR_FILENO);
  if (null > STDERR_FILENO) close(null);
  for (int number = 1; number < NSIG; ++number) {
    signal(number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);

  std::vector<char*> arguments;
  arguments.reserve(launch_.command.size() + 1);
  for (const std::string& argument : launch_.command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  std::vector<std::string> assignments;
  assignments.reserve(launch_.environment.size());
  for (const auto& [name, value] : launch_.environment) {
    assignments.push_back(absl::StrCat(name, "=", value));
  }
  std::vector<char*> environment;
  environment.reserve(assignments.size() + 1);
  for (std::string& assignment : assignments) {
    environment.push_back(assignment.data());
  }
  environment.push_back(nullptr);
  int error = 0;
  if (chdir(launch_.working_folder.c_str()) != 0) {
    error = errno;
  } else {
    execve(arguments[0], arguments.data(), environment.data());
    error = errno;
  }
  (void)!write(error_[1], &error, sizeof(error));
  _exit(kCannotRunExitCode);
}

int Shim::LetGo() {
  const char go = 1;
  (void)!write(go_[1], &go, 1);
  CloseAndForget(go_[1]);
  int error = 0;
  ssize_t got;
  do {
    got = read(error_[0], &error, sizeof(error));
  } while (got < 0 && errno == EINTR);
  CloseAndForget(error_[0]);
  return got == sizeof(error) ? error : 0;
}

void Shim::Loop() {
  while (true) {
    if (exit_ && (Sweep() || SteadyMs() > sweep_until_ms_)) break;
    std::array<pollfd, 3> watched = {
        pollfd{signals_, POLLIN, 0},
        pollfd{outputs_[0].read_end, POLLIN, 0},
        pollfd{outputs_[1].read_end, POLLIN, 0},
    };
    poll(watched.data(), watched.size(), PollTimeoutMs());
    TakeSignals();
    for (Output& output : outputs_) Pump(output);
    Reap();
    if (kill_at_ms_ && SteadyMs() >= *kill_at_ms_) {
      SignalAll(SIGKILL);
      kill_at_ms_ = SteadyMs() + kSweepIntervalMs;
    }
  }
  Drain();
}

int Shim::PollTimeoutMs() const {
  if (exit_) return static_cast<int>(kSweepIntervalMs);
  if (!kill_at_ms_) return -1;
  return static_cast<int>(std::max<int64_t>(0, *kill_at_ms_ - SteadyMs()));
}

void Shim::TakeSignals() {
  signalfd_siginfo info;
  while (read(signals_, &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo == SIGTERM) Stop();
  }
}

void Shim::Reap() {
  int status = 0;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid != task_) continue;
    exit_.emplace();
    exit_->ended_at_ms = NowMs();
    if (WIFSIGNALED(status)) {
      exit_->kind = ExitRecord::Kind::kSignaled;
      exit_->signal = WTERMSIG(status);
    } else {
      exit_->kind = ExitRecord::Kind::kExited;
      exit_->code = WEXITSTATUS(status);
    }
    sweep_until_ms_ = SteadyMs() + kMaxSweepMs;
  }
  reaped_all_ = pid < 0 && errno == ECHILD;
}

void Shim::Stop() {
  if (kill_at_ms_) return;
  kill_at_ms_ = SteadyMs() + std::max<int64_t>(0, launch_.grace_ms);
  SignalAll(SIGTERM);
}

void Shim::SignalAll(int signal_number) {
  // Once reaped the number may be somebody else's, as a process's and, when
  // the group is empty, as a group's.
  if (!exit_) kill(-task_, signal_number);
  for (const pid_t pid : DescendantsOf(getpid())) {
    const std::optional<ProcessStat> stat = ReadProcessStat(pid);
    if (exit_ || !stat || stat->group != task_) kill(pid, signal_number);
  }
}

bool Shim::Sweep() {
  if (reaped_all_) return true;
  // Each one killed may leave children that become ours.
  SignalAll(SIGKILL);
  Reap();
  return reaped_all_;
}

size_t Shim::Pump(Output& output) {
  if (output.read_end < 0) return 0;
  char buffer[kReadBytes];
  const ssize_t got = read(output.read_end, buffer, sizeof(buffer));
  if (got > 0) {
    output.log.Write(absl::string_view(buffer, static_cast<size_t>(got)));
    return static_cast<size_t>(got);
  }
  if (got == 0) CloseAndForget(output.read_end);
  return 0;
}

void Shim::Drain() {
  for (Output& output : outputs_) {
    size_t drained = 0;
    while (drained < kMaxDrainBytes) {
      const size_t got = Pump(output);
      if (got == 0) break;
      drained += got;
    }
  }
}

}  // namespace

int RunShim(const std::string& folder) {
  // Nothing of the agent's stays open: neither its lock nor its connections.
  syscall(SYS_close_range, 3u, ~0u, 0u);
  prctl(PR_SET_NAME, "tfd-shim");
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  if (chdir(folder.c_str()) != 0) {
    fprintf(stderr, "no folder %s\n", folder.c_str());
    return kNotMineExitCode;
  }
  absl::StatusOr<Launch> launch = ReadLaunch(folder);
  if (!launch.ok()) {
    fprintf(stderr, "%s\n", std::string(launch.status().message()).c_str());
    return kNotMineExitCode;
  }
  return Shim(folder, *std::move(launch)).Run();
}

}  // namespace tfd::agent
