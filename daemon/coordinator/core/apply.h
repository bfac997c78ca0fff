// The only way a State changes. Pure and deterministic: no I/O, clock,
// randomness, lock, protobuf or unordered iteration; the same events give the
// same state and the same effects, always.
#ifndef TFD_DAEMON_COORDINATOR_CORE_APPLY_H_
#define TFD_DAEMON_COORDINATOR_CORE_APPLY_H_

#include <vector>

#include "daemon/coordinator/core/effect.h"
#include "daemon/coordinator/core/event.h"
#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator {

// Called by the ledger (loop/ledger.h), which journals, and by tests. An event
// that does not fit (it names what is not there, or makes a transition that is
// not legal) changes nothing but state.violation.
std::vector<Effect> Apply(State& state, const Event& event);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CORE_APPLY_H_
