// ReadLogs: reads the logs of a job's tasks at the agents of their nodes and
// passes them on, several tasks interleaved.
#ifndef TFD_DAEMON_COORDINATOR_SERVICE_LOG_RELAY_H_
#define TFD_DAEMON_COORDINATOR_SERVICE_LOG_RELAY_H_

#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "daemon/coordinator/loop/board.h"
#include "daemon/coordinator/loop/event_loop.h"
#include "daemon/coordinator/service/reply_stream.h"
#include "tfd/v1/agent.grpc.pb.h"
#include "tfd/v1/coordinator.pb.h"

namespace tfd::coordinator {

// The connections to agents, and the calls that use them. gRPC does not bear a
// channel that ends on one of its own threads, so calls only borrow theirs.
// Thread-safe.
class AgentConnections {
 public:
  AgentConnections() = default;
  // Waits until no call is left; their callers must have gone before.
  ~AgentConnections();
  AgentConnections(const AgentConnections&) = delete;
  AgentConnections& operator=(const AgentConnections&) = delete;

  // Begins one call to `target`; EndCall must follow, last thing. Not to be
  // called on a thread of gRPC.
  std::shared_ptr<v1::Agent::Stub> BeginCall(const std::string& target);
  void EndCall();

 private:
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<v1::Agent::Stub>> stubs_
      ABSL_GUARDED_BY(mutex_);
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
};

// What a relay needs; all outlive it.
struct RelayDependencies {
  EventLoop* loop = nullptr;
  Board* board = nullptr;
  AgentConnections* agents = nullptr;
};

// With follow, waits for tasks that are not placed yet, and ends when all have
// ended. A slow reader holds back the agents' streams, nothing else. A node
// that cannot be reached is named in the final status, after what the others
// had to say.
void RelayLogs(const RelayDependencies& dependencies,
               const v1::ReadLogsRequest& request,
               const ReplyStream<v1::LogLines>::Pointer& stream);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_SERVICE_LOG_RELAY_H_
