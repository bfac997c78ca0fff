#include "ps/ps_process.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/log.h"
#include "common/random.h"
#include "common/status.h"
#include "common/task/coordinator_link.h"
#include "common/task/exit_code.h"
#include "ps/shard_task.h"

namespace tfd::ps {
namespace {

constexpr char kRole[] = "ps";
// 128 + SIGTERM.
constexpr int kTerminatedExitCode = 143;
// A task that was told to stop is gone after a second, whatever hangs.
constexpr absl::Duration kStopTimeout = absl::Milliseconds(900);

// Owns everything of one parameter server. Threads: this one (waits), the
// shard's and the link's.
class PsProcess {
 public:
  PsProcess(const TaskEnvironment& environment, Interrupt* interrupt)
      : environment_(environment), interrupt_(interrupt) {}
  ~PsProcess() { Stop(); }

  absl::Status Run() {
    ShardTask::Events events;
    events.send = [this](v1::TaskMessage message) { Send(std::move(message)); };
    events.on_failed = [this](const absl::Status& status) { End(status); };
    TFD_ASSIGN_OR_RETURN(shard_,
                         ShardTask::Start(environment_, std::move(events)));
    StartLink();
    return WaitForTheEnd();
  }

 private:
  void StartLink() {
    CoordinatorLinkOptions options;
    options.coordinator = environment_.coordinator;
    options.token = environment_.token;
    v1::TaskHello& hello = options.hello;
    hello = MakeHello(environment_, RandomUint64());
    *hello.mutable_endpoint() = shard_->endpoint();
    if (shard_->restore().has_value()) {
      *hello.mutable_restore() = *shard_->restore();
    }
    options.on_command = [this](const v1::TaskCommand& command) {
      shard_->OnCommand(command);
    };
    options.on_lost = [this](const absl::Status& status) { End(status); };
    // Under the lock, so that nothing is sent before the link is there.
    absl::MutexLock lock(&mutex_);
    link_ = CoordinatorLink::Start(std::move(options));
  }

  absl::Status WaitForTheEnd() {
    const int signal_number = interrupt_->Wait(absl::InfiniteDuration());
    absl::MutexLock lock(&mutex_);
    if (signal_number != 0) {
      return absl::CancelledError(
          absl::StrCat("stopped by signal ", signal_number));
    }
    return ended_.value_or(absl::InternalError("woken without a reason"));
  }

  void Send(v1::TaskMessage message) {
    absl::MutexLock lock(&mutex_);
    if (link_ != nullptr) link_->Send(std::move(message));
  }

  // The first reason counts.
  void End(const absl::Status& status) {
    {
      absl::MutexLock lock(&mutex_);
      if (!ended_.has_value()) ended_ = status;
    }
    interrupt_->Wake();
  }

  // The link calls the shard; the shard sends over the link, if it is still
  // there.
  void Stop() {
    std::unique_ptr<CoordinatorLink> link;
    {
      absl::MutexLock lock(&mutex_);
      link = std::move(link_);
    }
    link.reset();
    shard_.reset();
  }

  const TaskEnvironment& environment_;
  Interrupt* const interrupt_;
  std::unique_ptr<ShardTask> shard_;

  absl::Mutex mutex_;
  std::unique_ptr<CoordinatorLink> link_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::Status RunParameterServer(const TaskEnvironment& environment,
                                Interrupt* interrupt) {
  auto process = std::make_unique<PsProcess>(environment, interrupt);
  absl::Status status = process->Run();
  // A disk that hangs under a checkpoint, say, must not keep the process; there
  // is nothing left that would have to be saved.
  const int code =
      absl::IsCancelled(status) ? kTerminatedExitCode : TaskExitCode(status);
  if (!absl::IsCancelled(status)) {
    WriteExitFile(environment.exit_file, status);
  }
  std::thread([code] {
    absl::SleepFor(kStopTimeout);
    _exit(code);
  }).detach();
  process.reset();
  return status;
}

int RunPsTask(Interrupt* interrupt) {
  absl::StatusOr<TaskEnvironment> environment = ReadTaskEnvironment();
  if (!environment.ok()) {
    spdlog::error("{}", std::string(environment.status().message()));
    return 1;
  }
  LogOptions log;
  log.name = absl::StrCat("job ", environment->job, " ", environment->task);
  absl::Status status = InitLogging(log);
  if (status.ok() && environment->role != kRole) {
    status = absl::InvalidArgumentError(absl::StrCat(
        environment->task, " is no parameter server; tfd-ps runs ps/NUMBER"));
  }
  if (status.ok()) status = RunParameterServer(*environment, interrupt);
  if (absl::IsCancelled(status)) return kTerminatedExitCode;
  if (!status.ok()) {
    spdlog::error("{}", std::string(status.message()));
    return TaskExitCode(status);
  }
  return 0;
}

}  // namespace tfd::ps
