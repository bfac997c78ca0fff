#include "client/local_cluster.h"

#include <signal.h>
#include <stdlib.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/daemon_start.h"
#include "common/fs/file_system.h"
#include "common/status.h"

namespace tfd::client {
namespace {

constexpr int kMaxRestarts = 3;
// The agent gives each task its grace first.
constexpr absl::Duration kAgentGrace = absl::Seconds(15);
constexpr absl::Duration kCoordinatorGrace = absl::Seconds(5);

absl::StatusOr<std::string> MakePrivateFolder(const Context& context) {
  std::string base = context.Variable("TMPDIR");
  if (base.empty()) base = "/tmp";
  std::string folder = JoinPath(base, "tfd-run-XXXXXX");
  if (mkdtemp(folder.data()) == nullptr) {
    return ErrnoStatus(errno, absl::StrCat("a private folder in ", base,
                                           " (TMPDIR names another place)"));
  }
  return folder;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalCluster>> LocalCluster::Start(
    const Context& context, const LocalClusterOptions& options) {
  TFD_RETURN_IF_ERROR(LocalFileSystem()->CreateFolder(options.log_folder));
  auto cluster = std::unique_ptr<LocalCluster>(new LocalCluster());
  TFD_ASSIGN_OR_RETURN(cluster->folder_, MakePrivateFolder(context));
  const std::string& folder = cluster->folder_;
  std::string socket = JoinPath(folder, "coordinator.sock");
  std::string address_file = JoinPath(folder, "address");

  Daemon& coordinator = cluster->coordinator_;
  coordinator.name = "tfd-coordinator";
  coordinator.log_path = JoinPath(options.log_folder, "coordinator.log");
  coordinator.child.command = {context.Program("tfd-coordinator"),
                               "--state-dir",
                               JoinPath(folder, "coordinator"),
                               "--unix",
                               socket,
                               "--listen",
                               "127.0.0.1:0",
                               "--address-file",
                               address_file,
                               "--dies-with-parent"};
  TFD_RETURN_IF_ERROR(cluster->StartDaemon(&coordinator));
  absl::StatusOr<std::string> address =
      AwaitAddressFile(address_file, *coordinator.process);
  if (!address.ok()) {
    return WithLastLines(address.status(), coordinator.log_path);
  }
  cluster->address_ = *std::move(address);

  Daemon& agent = cluster->agent_;
  agent.name = "tfd-agent";
  agent.log_path = JoinPath(options.log_folder, "agent.log");
  agent.child.command = {context.Program("tfd-agent"),
                         "--coordinator",
                         cluster->address_,
                         "--state-dir",
                         JoinPath(folder, "agent"),
                         "--log-dir",
                         options.log_folder,
                         "--spool-dir",
                         JoinPath(folder, "spool"),
                         "--socket-dir",
                         JoinPath(folder, "sockets"),
                         "--node",
                         "local",
                         "--offer",
                         OfferText(options.cpus, options.memory_bytes),
                         "--dies-with-parent",
                         "--stop-tasks-on-exit"};
  TFD_RETURN_IF_ERROR(cluster->StartDaemon(&agent));
  return cluster;
}

LocalCluster::~LocalCluster() { Stop(); }

absl::Status LocalCluster::StartDaemon(Daemon* daemon) {
  daemon->child.stdout_path = daemon->log_path;
  daemon->child.stderr_path = daemon->log_path;
  // Ctrl-C is for the command, which then ends the daemons in order.
  daemon->child.new_session = true;
  daemon->child.dies_with_parent = true;
  absl::StatusOr<ChildProcess> process = ChildProcess::Start(daemon->child);
  if (!process.ok()) {
    return Annotate(process.status(), absl::StrCat("starting ", daemon->name));
  }
  daemon->process.emplace(*std::move(process));
  return absl::OkStatus();
}

absl::Status LocalCluster::Supervise() {
  for (Daemon* daemon : {&coordinator_, &agent_}) {
    if (!daemon->process.has_value()) continue;
    absl::StatusOr<ChildExit> exit =
        daemon->process->Wait(absl::ZeroDuration());
    if (!exit.ok()) continue;
    if (++daemon->restarts > kMaxRestarts) {
      return WithLastLines(
          absl::InternalError(absl::StrCat(daemon->name, " keeps ending (",
                                           exit->ToString(), ")")),
          daemon->log_path);
    }
    TFD_RETURN_IF_ERROR(StartDaemon(daemon));
  }
  return absl::OkStatus();
}

void LocalCluster::Stop() {
  // An agent that was killed left its tasks running; one that starts on its
  // folder finds and stops them.
  if (agent_.process.has_value() &&
      agent_.process->Wait(absl::ZeroDuration()).ok()) {
    agent_.process.reset();
    StartDaemon(&agent_).IgnoreError();
  }
  if (agent_.process.has_value()) agent_.process->Stop(kAgentGrace);
  agent_.process.reset();
  if (coordinator_.process.has_value()) {
    coordinator_.process->Stop(kCoordinatorGrace);
  }
  coordinator_.process.reset();
  if (!folder_.empty()) LocalFileSystem()->Delete(folder_).IgnoreError();
  folder_.clear();
}

}  // namespace tfd::client
