// The lives of a job and of a task: each one enum with its legal transitions in
// one table.
//
//   job   SUBMITTED → QUEUED → STARTING → RUNNING → SUCCEEDED
//         RUNNING → RESTARTING → STARTING
//         every state that is no end → FAILED | CANCELLED
//   task  PENDING → ASSIGNED → STARTING → RUNNING
//         (a hello may overtake its agent's report: ASSIGNED → RUNNING)
//         ASSIGNED, STARTING, RUNNING → SUCCEEDED | FAILED | LOST | CANCELLED
//         PENDING → CANCELLED
#ifndef TFD_DAEMON_COORDINATOR_CORE_LIFECYCLE_H_
#define TFD_DAEMON_COORDINATOR_CORE_LIFECYCLE_H_

#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator {

bool IsLegal(JobState from, JobState to);
bool IsLegal(TaskState from, TaskState to);

// It stays in this state for ever.
bool IsEnd(JobState state);
bool IsEnd(TaskState state);

// "RUNNING".
const char* JobStateName(JobState state);
const char* TaskStateName(TaskState state);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CORE_LIFECYCLE_H_
