// tfd-agent, and `tfd-agent shim FOLDER`, which it starts for each task.
#include <cstring>
#include <iostream>

#include "common/status.h"
#include "daemon/agent/agent_options.h"
#include "daemon/agent/agent_process.h"
#include "daemon/agent/shim.h"

int main(int argc, char** argv) {
  // Before anything else: a shim starts in an instant.
  if (argc == 3 && strcmp(argv[1], "shim") == 0) {
    return tfd::agent::RunShim(argv[2]);
  }
  const auto options = tfd::agent::ParseAgentOptions(argc, argv);
  absl::Status status = options.status();
  if (status.ok()) {
    if (!options->has_value()) return 0;
    status = tfd::agent::RunAgent(**options);
  }
  if (!status.ok()) std::cerr << "tfd-agent: " << status.message() << "\n";
  return tfd::ExitCode(status);
}
