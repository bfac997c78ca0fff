// A cluster of one machine for one command: a coordinator and an agent, as
// children of `tfd run`.
#ifndef TFD_CLIENT_LOCAL_CLUSTER_H_
#define TFD_CLIENT_LOCAL_CLUSTER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/context.h"
#include "common/child_process.h"

namespace tfd::client {

struct LocalClusterOptions {
  // Where tasks' logs go, and those of the two daemons.
  std::string log_folder;
  // What the agent offers, whatever the machine has: a laptop may share its
  // processors among more tasks than it has processors.
  double cpus = 1;
  uint64_t memory_bytes = 0;
};

// The two daemons on Unix sockets in a private folder, which is deleted at the
// end with everything in it but the logs. A daemon that dies is started again
// (its tasks go on meanwhile). Thread-compatible.
class LocalCluster {
 public:
  static absl::StatusOr<std::unique_ptr<LocalCluster>> Start(
      const Context& context, const LocalClusterOptions& options);
  ~LocalCluster();

  // As Dial takes it.
  const std::string& address() const { return address_; }

  // Starts a daemon again that has died; gives an error when that keeps
  // happening, with its last words. Called every now and then.
  absl::Status Supervise();

  // Stops the tasks, the agent, the coordinator, in this order.
  void Stop();

 private:
  struct Daemon {
    std::string name;
    ChildOptions child;
    std::string log_path;
    std::optional<ChildProcess> process;
    int restarts = 0;
  };

  LocalCluster() = default;
  absl::Status StartDaemon(Daemon* daemon);

  std::string folder_;
  std::string address_;
  Daemon coordinator_;
  Daemon agent_;
};

}  // namespace tfd::client

#endif  // TFD_CLIENT_LOCAL_CLUSTER_H_
