// A task of role worker or evaluator, from its environment to its end. The
// composition root: it owns everything and passes parts on.
#ifndef TFD_WORKER_WORKER_TASK_H_
#define TFD_WORKER_WORKER_TASK_H_

#include "absl/status/status.h"
#include "common/task/environment.h"
#include "worker/task_control.h"

namespace tfd::worker {

// Runs until the task's work is done (OK), or `control` says that it must end,
// or something failed: says what. An evaluator, and worker/0 where there is
// none, never ends by itself.
absl::Status RunTask(const TaskEnvironment& environment, TaskControl* control);

}  // namespace tfd::worker

#endif  // TFD_WORKER_WORKER_TASK_H_
