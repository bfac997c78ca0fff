// The agent's composition root: it makes every part, joins them and ends them
// in order.
#ifndef TFD_DAEMON_AGENT_AGENT_PROCESS_H_
#define TFD_DAEMON_AGENT_AGENT_PROCESS_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/net/server.h"
#include "daemon/agent/agent_link.h"
#include "daemon/agent/agent_options.h"
#include "daemon/agent/agent_service.h"
#include "daemon/agent/agent_state.h"
#include "daemon/agent/task_manager.h"
#include "tfd/v1/agent.pb.h"

namespace tfd::agent {

// Threads: "tasks" (TaskManager), "link" with its reader (AgentLink), gRPC's
// own. Thread-compatible.
class AgentProcess {
 public:
  // Takes over the tasks of the state folder and begins to dial the
  // coordinator, which need not be there.
  static absl::StatusOr<std::unique_ptr<AgentProcess>> Start(
      AgentOptions options);
  // As Stop, without saying what went wrong.
  ~AgentProcess();

  // With stop_tasks_on_exit stops all tasks first; DeadlineExceeded names
  // those that would not end. Else they go on.
  absl::Status Stop();

  const v1::Endpoint& endpoint() const { return server_->endpoint(); }

 private:
  AgentProcess(AgentOptions options, AgentState state);

  absl::Status ChooseSocketFolder();
  absl::Status StartParts();
  void StartLink();
  LauncherOptions MakeLauncherOptions() const;
  v1::AgentHello MakeHello() const;
  void OnWelcome(const v1::AgentWelcome& welcome);

  const AgentOptions options_;
  const std::string incarnation_;
  const std::string log_token_;
  AgentState state_;
  std::string socket_folder_;
  bool owns_socket_folder_ = false;
  v1::Resources offered_;
  // The link before the manager: a task's report needs it. It is started last
  // and ended first.
  std::unique_ptr<AgentLink> link_;
  std::unique_ptr<TaskManager> tasks_;
  std::optional<AgentService> service_;
  std::unique_ptr<net::Server> server_;
  bool stopped_ = false;
};

// What main runs: until SIGTERM or SIGINT.
absl::Status RunAgent(const AgentOptions& options);

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_AGENT_PROCESS_H_
