// What tfd-coordinator does between main and its exit code.
#ifndef TFD_DAEMON_COORDINATOR_RUN_H_
#define TFD_DAEMON_COORDINATOR_RUN_H_

#include "absl/status/status.h"
#include "common/interrupt.h"
#include "daemon/coordinator/options.h"

namespace tfd::coordinator {

// Serves until SIGTERM or SIGINT, which is OK, or until it cannot go on.
absl::Status Run(const CommandLine& line, Interrupt& interrupt);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_RUN_H_
