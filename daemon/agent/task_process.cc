#include "daemon/agent/task_process.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/poll.h"
#include "common/task/environment.h"
#include "daemon/agent/process.h"

namespace tfd::agent {
namespace {

// How often a shim is looked at that cannot be watched (no descriptor left).
constexpr absl::Duration kLookInterval = absl::Seconds(1);
// While processes that outlived their shim are killed, new ones may appear.
constexpr int kLeftoverRounds = 100;
constexpr absl::Duration kLeftoverPause = absl::Milliseconds(1);
constexpr size_t kMaxShimLog = 1000;

bool IsReadable(const UniqueDescriptor& descriptor) {
  pollfd watched{descriptor.get(), POLLIN, 0};
  return poll(&watched, 1, 0) > 0;
}

// After their shim was killed nobody is their parent; they still carry the
// environment that their task was started with.
void KillLeftovers(const std::string& folder) {
  const std::string mark =
      absl::StrCat(kExitFileVariable, "=", folder, "/", kExitMessageFile);
  for (int round = 0; round < kLeftoverRounds; ++round) {
    const std::vector<pid_t> pids = FindByEnvironment(mark);
    if (pids.empty()) return;
    for (const pid_t pid : pids) kill(pid, SIGKILL);
    absl::SleepFor(kLeftoverPause);
  }
}

std::string ShimLog(const std::string& folder) {
  std::ifstream file(absl::StrCat(folder, "/", kShimLogFile));
  std::string text(kMaxShimLog, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

}  // namespace

TaskProcess::TaskProcess(std::string folder, StartedShim shim)
    : folder_(std::move(folder)),
      shim_pid_(shim.pid),
      claimed_(std::move(shim.claimed)),
      ended_(std::move(shim.ended)) {}

TaskProcess TaskProcess::Adopt(std::string folder) {
  return TaskProcess(std::move(folder));
}

bool TaskProcess::VoidUnclaimed(const std::string& folder) {
  if (ReadExit(folder).ok()) return false;
  const absl::StatusOr<ShimRecord> record = ReadShim(folder);
  if (record.ok()) return record->shim.pid == 0;
  return ClaimTask(folder, ShimRecord{}).ok();
}

TaskProcess::State TaskProcess::Look() {
  if (has_ended_) return State::kEnded;
  if (!ShimLives()) return LookBehindShim();
  if (SteadyNow() >= stop_by_) {
    TellShim(SIGKILL);
    stop_by_ = absl::InfiniteFuture();
  }
  if (task_pid_ != 0) return State::kRunning;
  if (!claimed_.valid() || IsReadable(claimed_)) {
    claimed_.Reset();
    const absl::StatusOr<ShimRecord> record = ReadShim(folder_);
    if (record.ok()) task_pid_ = record->task.pid;
  }
  return task_pid_ != 0 ? State::kRunning : State::kStarting;
}

bool TaskProcess::ShimLives() {
  if (!ended_.valid()) return false;
  if (!IsReadable(ended_)) return true;
  // A child of this process, unless it was adopted.
  waitpid(shim_pid_, nullptr, WNOHANG);
  ended_.Reset();
  return false;
}

// What was its shim is gone, or was never known.
TaskProcess::State TaskProcess::LookBehindShim() {
  claimed_.Reset();
  if (absl::StatusOr<ExitRecord> exit = ReadExit(folder_); exit.ok()) {
    if (const auto record = ReadShim(folder_); record.ok()) {
      task_pid_ = record->task.pid;
    }
    exit_ = *std::move(exit);
    has_ended_ = true;
    return State::kEnded;
  }
  if (VoidUnclaimed(folder_)) {
    return EndedWithout(
        ExitRecord::Kind::kStartFailed,
        absl::StrCat("its shim ended before it had started the task: ",
                     ShimLog(folder_)));
  }
  const absl::StatusOr<ShimRecord> record = ReadShim(folder_);
  if (record.ok()) {
    shim_pid_ = record->shim.pid;
    task_pid_ = record->task.pid;
    ended_ = UniqueDescriptor(OpenProcess(record->shim));
    // Without a descriptor it could not be told before.
    if (stop_by_ != absl::InfiniteFuture()) TellShim(SIGTERM);
    // Still without one it is looked at again after a while.
    if (ended_.valid() || record->shim.Alive()) return State::kRunning;
  }
  // It may have written its last word since.
  if (absl::StatusOr<ExitRecord> exit = ReadExit(folder_); exit.ok()) {
    exit_ = *std::move(exit);
    has_ended_ = true;
    return State::kEnded;
  }
  KillLeftovers(folder_);
  return EndedWithout(
      ExitRecord::Kind::kUnknown,
      "its shim is gone (killed, or the machine was restarted), so that nobody "
      "knows how it ended; what was left of it has been killed");
}

TaskProcess::State TaskProcess::EndedWithout(ExitRecord::Kind kind,
                                             const std::string& message) {
  exit_.kind = kind;
  exit_.message = message;
  exit_.ended_at_ms = NowMs();
  has_ended_ = true;
  // For the next agent; this one knows it anyhow.
  (void)WriteExit(folder_, exit_);
  return State::kEnded;
}

void TaskProcess::Stop(absl::Duration patience) {
  stop_by_ = SteadyNow() + patience;
  TellShim(SIGTERM);
}

void TaskProcess::TellShim(int signal_number) {
  if (!ended_.valid()) return;
  syscall(SYS_pidfd_send_signal, ended_.get(), signal_number, nullptr, 0);
}

void TaskProcess::Watch(std::vector<pollfd>& descriptors,
                        absl::Time& look_at) const {
  if (has_ended_) return;
  if (claimed_.valid()) descriptors.push_back({claimed_.get(), POLLIN, 0});
  if (ended_.valid()) {
    descriptors.push_back({ended_.get(), POLLIN, 0});
  } else {
    look_at = std::min(look_at, SteadyNow() + kLookInterval);
  }
  look_at = std::min(look_at, stop_by_);
}

}  // namespace tfd::agent
