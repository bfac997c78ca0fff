// What follows from the state for somebody who attaches or asks: the desired
// state of a node, the commands a task has not answered yet, a job's reason in
// words. Pure functions; so nothing has to be remembered over a restart.
#ifndef TFD_DAEMON_COORDINATOR_CORE_VIEWS_H_
#define TFD_DAEMON_COORDINATOR_CORE_VIEWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/coordinator/core/effect.h"
#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator {

// A task that should be on a node.
struct DesiredTask {
  const Job* job;
  const Task* task;
};
// In the order of jobs and tasks. Valid until the state changes.
std::vector<DesiredTask> DesiredOn(const State& state, const std::string& node);

// What a task that has just attached must be told (again): the effects that
// would have told it, to be released for this task alone.
std::vector<Effect> CommandsOnAttach(const Job& job, const Task& task);

// Why a job that has not ended is in its state. `queue_reason` is the
// placement's, for QUEUED; `step` the newest one reported.
std::string DescribeWait(const Job& job, const std::string& queue_reason,
                         int64_t step);

// Names of tasks that have not said hello, at most a few: "worker/1 (on
// node-b, its process 77 is there), …".
std::string DescribeMissing(const Job& job);

// Of a complete or incomplete dataset.
int CommittedProducers(const Dataset& dataset);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CORE_VIEWS_H_
