#include "daemon/agent/agent_options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/net/endpoint.h"
#include "common/version.h"

namespace tfd::agent {
namespace {

constexpr char kFooter[] =
    "\nExample, for a coordinator on the same machine:\n"
    "  tfd-agent --coordinator 127.0.0.1:7070 --state-dir /var/lib/tfd/agent\n"
    "\nSIGTERM ends the agent; its tasks go on and the next agent on the same "
    "state folder\ntakes them over, unless --stop-tasks-on-exit is given.";

absl::Status MakeAbsolute(std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute =
      std::filesystem::absolute(path, error).lexically_normal();
  if (error) {
    return absl::ErrnoToStatus(error.value(),
                               absl::StrCat("cannot find the folder ", path));
  }
  path = absolute.string();
  // So that folder + "/" + name is the one way to write it.
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return absl::OkStatus();
}

absl::Status Complete(AgentOptions& options) {
  absl::StatusOr<std::string> coordinator =
      net::ParseAddress(options.coordinator);
  if (!coordinator.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--coordinator: ", coordinator.status().message()));
  }
  options.coordinator = *std::move(coordinator);
  if (options.node.empty()) options.node = net::HostName();
  if (options.node.empty()) {
    return absl::InvalidArgumentError(
        "this machine has no host name; give the node one with --node");
  }
  if (options.log_folder.empty()) {
    options.log_folder = options.state_folder + "/logs";
  }
  if (options.spool_folder.empty()) {
    options.spool_folder = options.state_folder + "/spool";
  }
  for (std::string* path : {&options.state_folder, &options.log_folder,
                            &options.spool_folder, &options.socket_folder}) {
    if (path->empty()) continue;
    if (absl::Status status = MakeAbsolute(*path); !status.ok()) return status;
  }
  return absl::OkStatus();
}

void AddFlags(CLI::App& app, AgentOptions& options) {
  app.set_version_flag("--version", std::string(kVersion));
  app.footer(kFooter);
  app.add_option("--coordinator", options.coordinator,
                 "The coordinator's address: HOST:PORT or unix:PATH")
      ->required()
      ->envname("TFD_COORDINATOR");
  app.add_option("--state-dir", options.state_folder,
                 "Records of tasks; an agent started again on it takes them "
                 "over")
      ->required();
  app.add_option("--log-dir", options.log_folder,
                 "Logs of tasks (default: STATE/logs)");
  app.add_option("--spool-dir", options.spool_folder,
                 "Data pushed to jobs on this node (default: STATE/spool)");
  app.add_option("--socket-dir", options.socket_folder,
                 "Unix sockets of tasks; a short path (default: a folder of "
                 "its own in /tmp)");
  app.add_option("--node", options.node,
                 "This node's name, unique in the cluster (default: the host "
                 "name)");
  app.add_option("--offer", options.offer,
                 "What tasks may use, e.g. cpus=8,memory=32GiB (default: what "
                 "the affinity mask and the cgroup allow)");
  app.add_option("--log-level", options.log_level,
                 "trace, debug, info, warn, error or off")
      ->capture_default_str();
  app.add_flag("--dies-with-parent", options.dies_with_parent,
               "End as on SIGTERM when the process that started it ends");
  app.add_flag("--stop-tasks-on-exit", options.stop_tasks_on_exit,
               "Stop all tasks before ending");
}

}  // namespace

absl::StatusOr<std::optional<AgentOptions>> ParseAgentOptions(
    int argc, const char* const* argv) {
  AgentOptions options;
  CLI::App app("Runs the tasks that a tfd coordinator places on this node.",
               "tfd-agent");
  AddFlags(app, options);
  // The one place where CLI11's exceptions end.
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    app.exit(asked, std::cout, std::cerr);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(error.what(), "; see tfd-agent --help"));
  }
  if (absl::Status status = Complete(options); !status.ok()) return status;
  return options;
}

}  // namespace tfd::agent
