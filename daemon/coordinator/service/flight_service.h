// The coordinator's part of Arrow Flight: tells a producer where the feeds of a
// job are, and takes begin, commit, abort and status of its datasets. Any
// Flight client is a producer; the rows themselves go to the feeds.
#ifndef TFD_DAEMON_COORDINATOR_SERVICE_FLIGHT_SERVICE_H_
#define TFD_DAEMON_COORDINATOR_SERVICE_FLIGHT_SERVICE_H_

#include <memory>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "arrow/flight/protocol/Flight.grpc.pb.h"
#include "daemon/coordinator/service/coordinator_service.h"

namespace tfd::coordinator {

// Thread-safe.
class FlightService
    : public arrow::flight::protocol::FlightService::CallbackService {
 public:
  explicit FlightService(const ServiceDependencies& dependencies);
  ~FlightService() override;

  // Answers whoever still waits; before the server stops.
  void Stop();

  // PATH ["jobs", JOB, DATASET] → one endpoint per feed. Waits while the job is
  // not running yet, for half a minute at most.
  grpc::ServerUnaryReactor* GetFlightInfo(
      grpc::CallbackServerContext* context,
      const arrow::flight::protocol::FlightDescriptor* request,
      arrow::flight::protocol::FlightInfo* response) override;
  // Bodies are JSON; each answers with the dataset's state as JSON.
  grpc::ServerWriteReactor<arrow::flight::protocol::Result>* DoAction(
      grpc::CallbackServerContext* context,
      const arrow::flight::protocol::Action* request) override;
  grpc::ServerWriteReactor<arrow::flight::protocol::ActionType>* ListActions(
      grpc::CallbackServerContext* context,
      const arrow::flight::protocol::Empty* request) override;

 private:
  class Waiter;

  void Forget(const std::shared_ptr<Waiter>& waiter);

  const ServiceDependencies dependencies_;
  absl::Mutex mutex_;
  std::set<std::shared_ptr<Waiter>> waiters_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_SERVICE_FLIGHT_SERVICE_H_
