// What is true of every State between two events. Run after each event in
// tests, and once after a recovery.
#ifndef TFD_DAEMON_COORDINATOR_CORE_INVARIANTS_H_
#define TFD_DAEMON_COORDINATOR_CORE_INVARIANTS_H_

#include "absl/status/status.h"
#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator {

// OK, or Internal naming the first invariant that does not hold.
absl::Status CheckInvariants(const State& state);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CORE_INVARIANTS_H_
