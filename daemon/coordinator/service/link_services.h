// AgentLink and TaskLink: where agents and tasks attach.
#ifndef TFD_DAEMON_COORDINATOR_SERVICE_LINK_SERVICES_H_
#define TFD_DAEMON_COORDINATOR_SERVICE_LINK_SERVICES_H_

#include <string>

#include "common/clock.h"
#include "daemon/coordinator/loop/event_loop.h"
#include "daemon/coordinator/service/hub.h"
#include "tfd/v1/agent.grpc.pb.h"
#include "tfd/v1/task.grpc.pb.h"

namespace tfd::coordinator {

// What both need; all outlive the services.
struct LinkDependencies {
  EventLoop* loop = nullptr;
  Hub* hub = nullptr;
  const Clock* clock = nullptr;
  Terms terms;
};

// Thread-safe.
class AgentLinkService : public v1::AgentLink::CallbackService {
 public:
  explicit AgentLinkService(const LinkDependencies& dependencies)
      : dependencies_(dependencies) {}
  // For AgentWelcome; known when the journal was opened, before the server is.
  void set_cluster_id(const std::string& id) { cluster_id_ = id; }

  grpc::ServerBidiReactor<v1::AgentMessage, v1::AgentCommand>* Attach(
      grpc::CallbackServerContext* context) override;

 private:
  const LinkDependencies dependencies_;
  std::string cluster_id_;
};

// Thread-safe.
class TaskLinkService : public v1::TaskLink::CallbackService {
 public:
  explicit TaskLinkService(const LinkDependencies& dependencies)
      : dependencies_(dependencies) {}

  grpc::ServerBidiReactor<v1::TaskMessage, v1::TaskCommand>* Attach(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* SealPartition(
      grpc::CallbackServerContext* context,
      const v1::SealPartitionRequest* request,
      v1::SealPartitionResponse* response) override;
  grpc::ServerUnaryReactor* ReviewAttempts(
      grpc::CallbackServerContext* context,
      const v1::ReviewAttemptsRequest* request,
      v1::ReviewAttemptsResponse* response) override;

 private:
  const LinkDependencies dependencies_;
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_SERVICE_LINK_SERVICES_H_
