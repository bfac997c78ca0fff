#include "daemon/coordinator/run.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/log.h"
#include "common/status.h"
#include "spdlog/spdlog.h"

namespace tfd::coordinator {
namespace {

// How it ended, from the loop's thread to main's.
struct Outcome {
  absl::Mutex mutex;
  absl::Status status ABSL_GUARDED_BY(mutex);
};

absl::Status DieWithParent() {
  const pid_t parent = getppid();
  if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) {
    return ErrnoStatus(errno, "--dies-with-parent");
  }
  // It may have died before.
  if (getppid() != parent || parent == 1) {
    return absl::AbortedError("--dies-with-parent: the parent is gone");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Run(const CommandLine& line, Interrupt& interrupt) {
  TFD_RETURN_IF_ERROR(InitLogging({"tfd-coordinator", line.log_level}));
  if (line.dies_with_parent) TFD_RETURN_IF_ERROR(DieWithParent());
  Outcome outcome;
  CoordinatorProcess::Dependencies dependencies;
  dependencies.on_fatal = [&outcome, &interrupt](const absl::Status& status) {
    absl::MutexLock lock(&outcome.mutex);
    outcome.status = status;
    interrupt.Wake();
  };
  TFD_ASSIGN_OR_RETURN(
      std::unique_ptr<CoordinatorProcess> process,
      CoordinatorProcess::Start(line.coordinator, std::move(dependencies)));
  const int signal_number = interrupt.Wait(absl::InfiniteDuration());
  if (signal_number != 0) spdlog::info("signal {}: stopping", signal_number);
  process->Stop();
  absl::MutexLock lock(&outcome.mutex);
  return outcome.status;
}

}  // namespace tfd::coordinator
