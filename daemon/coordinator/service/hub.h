// The streams of agents and tasks, and what goes out on them: the event loop's
// outlet in the coordinator.
#ifndef TFD_DAEMON_COORDINATOR_SERVICE_HUB_H_
#define TFD_DAEMON_COORDINATOR_SERVICE_HUB_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "daemon/coordinator/core/effect.h"
#include "daemon/coordinator/decide/context.h"
#include "daemon/coordinator/loop/board.h"
#include "daemon/coordinator/loop/outlet.h"
#include "daemon/coordinator/service/link_session.h"
#include "tfd/v1/agent.pb.h"
#include "tfd/v1/task.pb.h"

namespace tfd::coordinator {

using AgentSession = LinkSession<v1::AgentMessage, v1::AgentCommand>;
using TaskSession = LinkSession<v1::TaskMessage, v1::TaskCommand>;

// Event-loop only, but for what is const.
class Hub : public Outlet {
 public:
  // `board` outlives it.
  explicit Hub(Board* board) : board_(board) {}

  // Unavailable (the agent tries again) where another living agent has that
  // name.
  absl::Status CheckAgent(const Context& context, const std::string& node,
                          const std::string& incarnation) const;
  // From now on effects reach it. An earlier stream of the same one is closed.
  void AddAgent(const std::string& node, const std::string& incarnation,
                AgentSession::Pointer session);
  void AddTask(const std::string& job, const std::string& task,
               TaskSession::Pointer session);
  // The stream has ended; nothing where it was replaced.
  void RemoveAgent(const std::string& node, const AgentSession* session);
  void RemoveTask(const std::string& job, const std::string& task,
                  const TaskSession* session);

  // What one task alone must be told (again).
  void ReleaseTo(const Context& context, const std::vector<Effect>& effects,
                 TaskSession& session) const;

  void CollectHeartbeats(Runtime& runtime) override;
  void Release(const Context& context,
               const std::vector<Effect>& effects) override;
  void Tick(absl::Time now) override { board_->Tick(now); }

 private:
  struct Agent {
    std::string incarnation;
    AgentSession::Pointer session;
  };
  // Job, then task.
  using Tasks = std::map<std::string, TaskSession::Pointer>;
  class Releaser;

  void Publish(const Context& context, const std::set<std::string>& jobs,
               bool nodes);

  Board* const board_;
  std::map<std::string, Agent> agents_;
  std::map<std::string, Tasks> tasks_;
  // Parsed once: a job's spec never changes.
  std::map<std::string, std::shared_ptr<const v1::JobSpec>> specs_;
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_SERVICE_HUB_H_
