// The state folder's lock, and what an agent remembers across its restarts.
#ifndef TFD_DAEMON_AGENT_AGENT_STATE_H_
#define TFD_DAEMON_AGENT_AGENT_STATE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_descriptor.h"

namespace tfd::agent {

// STATE/agent.json. Thread-compatible.
struct AgentMemory {
  // The cluster last attached to; empty: none.
  std::string cluster_id;
  // Where running tasks have their sockets.
  std::string socket_folder;
};

// Holds the state folder as long as it lives: a second agent on it is refused.
// Thread-compatible.
class AgentState {
 public:
  // Creates the folder where it is not there. FailedPrecondition names the
  // process that holds it.
  static absl::StatusOr<AgentState> Open(const std::string& folder);

  const AgentMemory& memory() const { return memory_; }
  absl::Status Remember(AgentMemory memory);

 private:
  AgentState() = default;

  std::string folder_;
  UniqueDescriptor lock_;
  AgentMemory memory_;
};

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_AGENT_STATE_H_
