#include "daemon/coordinator/options.h"

#include <CLI/CLI.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/units.h"
#include "common/version.h"

namespace tfd::coordinator {
namespace {

// Shorter ones would be lost to the scheduler's whims.
constexpr absl::Duration kShortestHeartbeat = absl::Milliseconds(10);
// A lease must outlive a few lost heartbeats.
constexpr int kHeartbeatsPerLease = 4;
// Looks at the time per lease.
constexpr int kTicksPerLease = 20;

absl::Status SetTerms(const std::string& lease, const std::string& heartbeat,
                      LoopOptions* options) {
  LeaseTerms& terms = options->terms.lease;
  absl::StatusOr<absl::Duration> lease_time = ParseDuration(lease);
  if (!lease_time.ok()) return Annotate(lease_time.status(), "--lease");
  absl::StatusOr<absl::Duration> heartbeat_time = ParseDuration(heartbeat);
  if (!heartbeat_time.ok()) {
    return Annotate(heartbeat_time.status(), "--heartbeat");
  }
  terms.lease = *lease_time;
  terms.heartbeat = *heartbeat_time;
  if (terms.heartbeat < kShortestHeartbeat ||
      terms.lease < kHeartbeatsPerLease * terms.heartbeat) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--lease ", lease, " --heartbeat ", heartbeat, ": a heartbeat takes ",
        tfd::FormatDuration(kShortestHeartbeat),
        " at least, and a lease at least ", kHeartbeatsPerLease,
        " heartbeats, for example --lease 10s --heartbeat 1s"));
  }
  options->tick = std::min(options->tick, terms.lease / kTicksPerLease);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<CommandLine>> ParseCommandLine(int argc,
                                                            char** argv) {
  CommandLine line;
  std::string lease = "10s";
  std::string heartbeat = "1s";
  CLI::App app(
      "The coordinator of a tfd cluster: admits, places and watches jobs. It "
      "carries neither tensors nor rows.\n\nExample:\n  tfd-coordinator "
      "--state-dir /var/lib/tfd --listen 127.0.0.1:7070");
  app.add_option("--state-dir", line.coordinator.state_folder,
                 "The folder of its journal; one process at a time")
      ->required();
  app.add_option("--listen", line.coordinator.listen,
                 "HOST:PORT; port 0 lets the system choose")
      ->capture_default_str();
  app.add_option("--unix", line.coordinator.unix_path,
                 "Also listen on a Unix socket with this path");
  app.add_option("--address-file", line.coordinator.address_file,
                 "Written when it is ready: unix:PATH (with --unix), then "
                 "HOST:PORT");
  app.add_option("--lease", lease,
                 "A node or task that is silent for this long is given up")
      ->capture_default_str();
  app.add_option("--heartbeat", heartbeat,
                 "How often agents and tasks say that they are there")
      ->capture_default_str();
  app.add_option("--log-level", line.log_level,
                 "trace, debug, info, warn, error or off")
      ->capture_default_str();
  app.add_flag("--dies-with-parent", line.dies_with_parent,
               "End when the process that started it does");
  app.set_version_flag("--version", std::string("tfd ") + kVersion);
  // The one place that catches what CLI11 throws.
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app.exit(error);
      return std::nullopt;
    }
    return absl::InvalidArgumentError(
        absl::StrCat(error.what(), " (tfd-coordinator --help)"));
  }
  TFD_RETURN_IF_ERROR(SetTerms(lease, heartbeat, &line.coordinator.loop));
  return line;
}

}  // namespace tfd::coordinator
