// What a running job does next about its checkpoints: score one, export one,
// forget old ones, succeed. A pure function of the job.
//
//   - With an evaluator, the newest committed checkpoint is scored as soon as
//     the evaluator is free. Without one, worker/0 scores the last one only.
//   - A scored checkpoint that meets `stop.target` is exported at once, however
//     far training is; else the last one (step == plan.total_steps), once
//     scored. Without validation data nothing is scored.
//   - A job that predicts succeeds when all its workers are through; one that
//     serves goes on until it is cancelled.
//   - The newest `checkpoint.keep` checkpoints are kept; one that is being
//     scored or exported is pinned.
#ifndef TFD_DAEMON_COORDINATOR_POLICY_PROGRESS_H_
#define TFD_DAEMON_COORDINATOR_POLICY_PROGRESS_H_

#include <map>
#include <optional>
#include <string>

#include "daemon/coordinator/core/event.h"
#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator {

// The next decision, or nothing to decide now. To be asked again after it was
// applied. `progress` is what the job's end will keep of its metrics.
std::optional<EventBody> NextStep(const Job& job, const Progress& progress);

// "accuracy at least 0.99", and whether `values` meet it.
std::string DescribeTarget(const Target& target);
bool MeetsTarget(const Target& target,
                 const std::map<std::string, double>& values);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_POLICY_PROGRESS_H_
