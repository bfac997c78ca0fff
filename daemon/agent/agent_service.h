// The agent's own service, for its coordinator: logs of the node's tasks.
#ifndef TFD_DAEMON_AGENT_AGENT_SERVICE_H_
#define TFD_DAEMON_AGENT_AGENT_SERVICE_H_

#include <functional>
#include <string>

#include "absl/synchronization/notification.h"
#include "daemon/agent/task_key.h"
#include "tfd/v1/agent.grpc.pb.h"

namespace tfd::agent {

struct AgentServiceOptions {
  std::string log_folder;
  // What a caller must present.
  std::string token;
  // Whether some generation of the task still writes.
  std::function<bool(const TaskKey&)> is_alive;
};

// Each call has a thread of its own, so that a slow reader waits for nobody
// and nobody for it. Thread-safe.
class AgentService final : public v1::Agent::Service {
 public:
  explicit AgentService(AgentServiceOptions options);

  // Standard output, then standard error, then both as they grow. The streams
  // have no common order; with `tail` it is the last lines of each.
  grpc::Status ReadTaskLogs(grpc::ServerContext* context,
                            const v1::ReadTaskLogsRequest* request,
                            grpc::ServerWriter<v1::LogLines>* writer) override;

  // Followers end; to be called before the server stops.
  void Stop();

 private:
  const AgentServiceOptions options_;
  absl::Notification stopped_;
};

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_AGENT_SERVICE_H_
