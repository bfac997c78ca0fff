// The Coordinator service: what users ask for. Reads are served from the board,
// changes are decided on the loop and answered once durable.
#ifndef TFD_DAEMON_COORDINATOR_SERVICE_COORDINATOR_SERVICE_H_
#define TFD_DAEMON_COORDINATOR_SERVICE_COORDINATOR_SERVICE_H_

#include "common/clock.h"
#include "daemon/coordinator/loop/board.h"
#include "daemon/coordinator/loop/event_loop.h"
#include "daemon/coordinator/service/log_relay.h"
#include "tfd/v1/coordinator.grpc.pb.h"

namespace tfd::coordinator {

// All outlive the service.
struct ServiceDependencies {
  EventLoop* loop = nullptr;
  Board* board = nullptr;
  const Clock* clock = nullptr;
  AgentConnections* agents = nullptr;
};

// Thread-safe.
class CoordinatorService : public v1::Coordinator::CallbackService {
 public:
  explicit CoordinatorService(const ServiceDependencies& dependencies)
      : dependencies_(dependencies) {}

  grpc::ServerUnaryReactor* SubmitJob(grpc::CallbackServerContext* context,
                                      const v1::SubmitJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request,
                                   v1::Job* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* ListNodes(grpc::CallbackServerContext* context,
                                      const v1::ListNodesRequest* request,
                                      v1::ListNodesResponse* response) override;
  grpc::ServerWriteReactor<v1::Job>* WatchJob(
      grpc::CallbackServerContext* context,
      const v1::WatchJobRequest* request) override;
  grpc::ServerWriteReactor<v1::Event>* ReadEvents(
      grpc::CallbackServerContext* context,
      const v1::ReadEventsRequest* request) override;
  grpc::ServerWriteReactor<v1::LogLines>* ReadLogs(
      grpc::CallbackServerContext* context,
      const v1::ReadLogsRequest* request) override;

 private:
  const ServiceDependencies dependencies_;
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_SERVICE_COORDINATOR_SERVICE_H_
