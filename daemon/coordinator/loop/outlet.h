// The world as the event loop sees it: where effects go, and where heartbeats
// come from. (Streams in the coordinator, a record of what was said in tests.)
#ifndef TFD_DAEMON_COORDINATOR_LOOP_OUTLET_H_
#define TFD_DAEMON_COORDINATOR_LOOP_OUTLET_H_

#include <vector>

#include "daemon/coordinator/core/effect.h"
#include "daemon/coordinator/decide/context.h"

namespace tfd::coordinator {

// Event-loop only. Must not block.
class Outlet {
 public:
  virtual ~Outlet() = default;
  // Enters into `runtime` who was heard of since, and when.
  virtual void CollectHeartbeats(Runtime& runtime) = 0;
  // What the effects are about is durable: tell it.
  virtual void Release(const Context& context,
                       const std::vector<Effect>& effects) = 0;
  // Some time has passed: what was held back to save work may go.
  virtual void Tick(absl::Time now) = 0;
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_LOOP_OUTLET_H_
