// What the end of a task's process means for its job. A pure function.
#ifndef TFD_DAEMON_COORDINATOR_POLICY_EXIT_H_
#define TFD_DAEMON_COORDINATOR_POLICY_EXIT_H_

#include <string>

#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator {

struct ExitVerdict {
  // The task has failed, and with it its job.
  bool failed = false;
  // In words, for the task.
  std::string reason;
};

// A worker that is not the finisher ends by itself when it has taken all its
// steps; every other end before the job's own is a failure. (That a worker with
// exit code 0 was done is its word alone: its TrainingDone may still be on the
// way, or have been said while the coordinator was away.)
ExitVerdict JudgeExit(const Job& job, const Task& task, const ExitCause& exit);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_POLICY_EXIT_H_
