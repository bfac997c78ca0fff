// One unary call that is answered later, from another thread.
#ifndef TFD_DAEMON_COORDINATOR_SERVICE_UNARY_CALL_H_
#define TFD_DAEMON_COORDINATOR_SERVICE_UNARY_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "common/status.h"

namespace tfd::coordinator {

// Whoever holds the last pointer without having answered says that the
// coordinator is stopping; so no call is ever left hanging. Thread-safe.
class UnaryCall {
 public:
  explicit UnaryCall(grpc::CallbackServerContext* context)
      : reactor_(context->DefaultReactor()) {}
  ~UnaryCall() {
    Answer(absl::UnavailableError("the coordinator is stopping"));
  }
  UnaryCall(const UnaryCall&) = delete;
  UnaryCall& operator=(const UnaryCall&) = delete;

  // The first one counts. The response must be filled before.
  void Answer(const absl::Status& status) {
    if (!answered_.exchange(true)) reactor_->Finish(ToGrpc(status));
  }
  grpc::ServerUnaryReactor* reactor() const { return reactor_; }

 private:
  grpc::ServerUnaryReactor* const reactor_;
  std::atomic<bool> answered_{false};
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_SERVICE_UNARY_CALL_H_
