// The command line of tfd-coordinator.
#ifndef TFD_DAEMON_COORDINATOR_OPTIONS_H_
#define TFD_DAEMON_COORDINATOR_OPTIONS_H_

#include <optional>

#include "absl/status/statusor.h"
#include "daemon/coordinator/coordinator_process.h"

namespace tfd::coordinator {

struct CommandLine {
  CoordinatorOptions coordinator;
  std::string log_level = "info";
  bool dies_with_parent = false;
};

// Nothing where help or the version was asked for and given. InvalidArgument
// naming the flag and what is wrong with it.
absl::StatusOr<std::optional<CommandLine>> ParseCommandLine(int argc,
                                                            char** argv);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_OPTIONS_H_
