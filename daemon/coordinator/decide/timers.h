// Decisions that the passing of time asks for: leases, the deadline of a
// start, the grace of a stop.
#ifndef TFD_DAEMON_COORDINATOR_DECIDE_TIMERS_H_
#define TFD_DAEMON_COORDINATOR_DECIDE_TIMERS_H_

#include "daemon/coordinator/decide/context.h"

namespace tfd::coordinator {

// Called several times per heartbeat, with runtime.nodes_seen and tasks_seen
// up to date.
void LookAtTime(const Context& context);

// Before the first look, after a recovery: nobody is judged for one lease.
void StartJudging(Runtime& runtime, const Terms& terms, absl::Time now);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_DECIDE_TIMERS_H_
