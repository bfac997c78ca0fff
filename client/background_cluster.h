// The cluster of one machine that `tfd up` starts and `tfd down` ends.
#ifndef TFD_CLIENT_BACKGROUND_CLUSTER_H_
#define TFD_CLIENT_BACKGROUND_CLUSTER_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/context.h"

namespace tfd::client {

// What `tfd up` leaves for `tfd down` and for every other command.
struct BackgroundCluster {
  pid_t coordinator_pid = 0;
  pid_t agent_pid = 0;
  std::string address;
  std::string log_folder;
};

// The cluster that `tfd up` started, if its coordinator is alive; NotFound if
// there is none.
absl::StatusOr<BackgroundCluster> ReadBackgroundCluster(const Context& context);

// Starts it; AlreadyExists where it runs. `listen` is HOST:PORT; the agent
// offers `cpus`, whatever the machine has.
absl::StatusOr<BackgroundCluster> StartBackgroundCluster(
    const Context& context, const std::string& listen, double cpus);

// Ends both daemons and the tasks; the state (finished jobs, logs) stays.
absl::Status StopBackgroundCluster(const Context& context);

}  // namespace tfd::client

#endif  // TFD_CLIENT_BACKGROUND_CLUSTER_H_
