#include "client/background_cluster.h"

#include <signal.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/daemon_start.h"
#include "common/child_process.h"
#include "common/fs/file_system.h"
#include "common/status.h"

namespace tfd::client {
namespace {

constexpr char kCoordinatorProgram[] = "tfd-coordinator";
constexpr char kAgentProgram[] = "tfd-agent";
// The agent gives each task its grace first.
constexpr absl::Duration kStopTimeout = absl::Seconds(20);
constexpr absl::Duration kLookInterval = absl::Milliseconds(10);

std::string Folder(const Context& context) {
  return JoinPath(context.StateFolder(), "up");
}

std::string RecordPath(const Context& context) {
  return JoinPath(Folder(context), "cluster.json");
}

// Whether `pid` is alive and runs `program`: pids are used again.
bool Runs(pid_t pid, const std::string& program) {
  std::error_code error;
  auto target =
      std::filesystem::read_symlink(absl::StrCat("/proc/", pid, "/exe"), error);
  // A program that was built anew is shown as "NAME (deleted)".
  return !error && target.filename().string().rfind(program, 0) == 0;
}

absl::StatusOr<BackgroundCluster> ReadRecord(const Context& context) {
  TFD_ASSIGN_OR_RETURN(std::string text,
                       ReadFile(*LocalFileSystem(), RecordPath(context)));
  nlohmann::json record = nlohmann::json::parse(text, nullptr, false);
  BackgroundCluster cluster;
  if (!record.is_object()) {
    return absl::DataLossError(absl::StrCat(
        RecordPath(context), " is not JSON; delete it and run `tfd up`"));
  }
  cluster.coordinator_pid = record.value("coordinator_pid", 0);
  cluster.agent_pid = record.value("agent_pid", 0);
  cluster.address = record.value("address", "");
  cluster.log_folder = record.value("log_folder", "");
  return cluster;
}

absl::Status WriteRecord(const Context& context,
                         const BackgroundCluster& cluster) {
  nlohmann::json record = {{"coordinator_pid", cluster.coordinator_pid},
                           {"agent_pid", cluster.agent_pid},
                           {"address", cluster.address},
                           {"log_folder", cluster.log_folder}};
  return WriteFileAtomically(*LocalFileSystem(), RecordPath(context),
                             record.dump(2) + "\n");
}

absl::Status StopDaemon(pid_t pid, const std::string& program) {
  if (!Runs(pid, program)) return absl::OkStatus();
  if (kill(pid, SIGTERM) != 0) return ErrnoStatus(errno, program);
  absl::Time deadline = absl::Now() + kStopTimeout;
  while (Runs(pid, program)) {
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat(
          program, " (pid ", pid, ") has not ended within ",
          absl::FormatDuration(kStopTimeout), " of SIGTERM; see its log"));
    }
    absl::SleepFor(kLookInterval);
  }
  return absl::OkStatus();
}

// A child that goes on when this command has ended: nobody waits for it, the
// record knows its pid.
absl::StatusOr<ChildProcess> StartDetached(std::vector<std::string> command,
                                           const std::string& log_path) {
  ChildOptions options;
  options.command = std::move(command);
  options.folder = "/";
  options.stdout_path = log_path;
  options.stderr_path = log_path;
  options.new_session = true;
  return ChildProcess::Start(options);
}

}  // namespace

absl::StatusOr<BackgroundCluster> ReadBackgroundCluster(
    const Context& context) {
  TFD_ASSIGN_OR_RETURN(BackgroundCluster cluster, ReadRecord(context));
  if (!Runs(cluster.coordinator_pid, kCoordinatorProgram)) {
    return absl::NotFoundError("no cluster of `tfd up` is running");
  }
  return cluster;
}

absl::StatusOr<BackgroundCluster> StartBackgroundCluster(
    const Context& context, const std::string& listen, double cpus) {
  absl::StatusOr<BackgroundCluster> running = ReadBackgroundCluster(context);
  if (running.ok()) {
    return absl::AlreadyExistsError(absl::StrCat(
        "it runs already, at ", running->address, "; `tfd down` ends it"));
  }
  std::string folder = Folder(context);
  FileSystem& files = *LocalFileSystem();
  BackgroundCluster cluster;
  cluster.log_folder = JoinPath(folder, "logs");
  TFD_RETURN_IF_ERROR(files.CreateFolder(cluster.log_folder));
  std::string address_file = JoinPath(folder, "address");
  TFD_RETURN_IF_ERROR(files.Delete(address_file));

  std::string coordinator_log = JoinPath(cluster.log_folder, "coordinator.log");
  TFD_ASSIGN_OR_RETURN(
      ChildProcess coordinator,
      StartDetached({context.Program(kCoordinatorProgram), "--state-dir",
                     JoinPath(folder, "coordinator"), "--listen", listen,
                     "--address-file", address_file},
                    coordinator_log));
  absl::StatusOr<std::string> address =
      AwaitAddressFile(address_file, coordinator);
  if (!address.ok()) return WithLastLines(address.status(), coordinator_log);
  cluster.address = *std::move(address);
  cluster.coordinator_pid = coordinator.Release();

  absl::StatusOr<ChildProcess> agent = StartDetached(
      {context.Program(kAgentProgram), "--coordinator", cluster.address,
       "--state-dir", JoinPath(folder, "agent"), "--log-dir",
       cluster.log_folder, "--spool-dir", JoinPath(folder, "spool"), "--node",
       "local", "--offer", absl::StrCat("cpus=", cpus), "--stop-tasks-on-exit"},
      JoinPath(cluster.log_folder, "agent.log"));
  if (agent.ok()) cluster.agent_pid = agent->Release();
  TFD_RETURN_IF_ERROR(WriteRecord(context, cluster));
  if (!agent.ok()) {
    StopBackgroundCluster(context).IgnoreError();
    return agent.status();
  }
  return cluster;
}

absl::Status StopBackgroundCluster(const Context& context) {
  TFD_ASSIGN_OR_RETURN(BackgroundCluster cluster, ReadRecord(context));
  TFD_RETURN_IF_ERROR(StopDaemon(cluster.agent_pid, kAgentProgram));
  TFD_RETURN_IF_ERROR(StopDaemon(cluster.coordinator_pid, kCoordinatorProgram));
  return LocalFileSystem()->Delete(RecordPath(context));
}

}  // namespace tfd::client
