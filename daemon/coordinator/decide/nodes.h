// Decisions about agents and what they report.
#ifndef TFD_DAEMON_COORDINATOR_DECIDE_NODES_H_
#define TFD_DAEMON_COORDINATOR_DECIDE_NODES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "daemon/coordinator/decide/context.h"

namespace tfd::coordinator {

// An agent's word about one task's process.
struct ProcessReport {
  std::string job;
  std::string task;
  uint64_t generation = 0;
  int64_t pid = 0;
  // It has ended, so.
  std::optional<ExitCause> exit;
  // By the node's clock.
  int64_t ended_at_ms = 0;
};

struct AgentFacts {
  std::string node;
  std::string incarnation;
  Resources offered;
  Endpoint endpoint;
  std::string log_token;
  std::string version;
  std::vector<ProcessReport> tasks;
};

// An agent has come (back). What it has no process of any more has failed.
absl::Status AttachNode(const Context& context, AgentFacts facts);

void TakeReport(const Context& context, const std::string& node,
                const ProcessReport& report);

// The lease of a node has ended: its tasks are lost, their jobs have failed.
void LoseNode(const Context& context, const std::string& node,
              const std::string& reason);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_DECIDE_NODES_H_
