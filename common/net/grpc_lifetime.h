// gRPC is started once and never shut down.
#ifndef TFD_COMMON_NET_GRPC_LIFETIME_H_
#define TFD_COMMON_NET_GRPC_LIFETIME_H_

#include <grpc/grpc.h>

namespace tfd::net {

// Called before the first channel or server. gRPC would shut itself down
// whenever its last object goes, and that may wait 10 s for a poller of its own
// that nobody wakes (Executor::SetThreading joining run_poller, 1.51): a task
// would take that long to end. The process's end needs no such care.
inline void KeepGrpcRunning() {
  static const bool started = [] {
    grpc_init();
    return true;
  }();
  static_cast<void>(started);
}

}  // namespace tfd::net

#endif  // TFD_COMMON_NET_GRPC_LIFETIME_H_
