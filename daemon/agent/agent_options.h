// What tfd-agent is told on its command line.
#ifndef TFD_DAEMON_AGENT_AGENT_OPTIONS_H_
#define TFD_DAEMON_AGENT_AGENT_OPTIONS_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/agent/launcher.h"

namespace tfd::agent {

struct AgentOptions {
  // As Dial takes it.
  std::string coordinator;
  // Absolute.
  std::string state_folder;
  std::string log_folder;
  std::string spool_folder;
  // Empty: one in /tmp, removed when no task is left.
  std::string socket_folder;
  std::string node;
  // As --offer; empty: all there is.
  std::string offer;
  std::string log_level = "info";
  bool dies_with_parent = false;
  bool stop_tasks_on_exit = false;

  // For tests; empty: the programs beside this one, and this one as shim.
  ProgramTable programs;
  std::vector<std::string> shim_command;
};

// Absent where the user asked for --help or --version, which has been printed
// then. InvalidArgument says what is wrong with the command line.
absl::StatusOr<std::optional<AgentOptions>> ParseAgentOptions(
    int argc, const char* const* argv);

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_AGENT_OPTIONS_H_
