// From a TaskLaunch to a running shim: the folders, the files, the environment.
#ifndef TFD_DAEMON_AGENT_LAUNCHER_H_
#define TFD_DAEMON_AGENT_LAUNCHER_H_

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/unique_descriptor.h"
#include "daemon/agent/task_key.h"
#include "tfd/v1/agent.pb.h"

namespace tfd::agent {

// The beginning of each program's command line.
using ProgramTable =
    std::map<v1::TaskLaunch::Program, std::vector<std::string>>;

// tfd-ps, tfd-worker and `tfd-data feed`, beside this program's file.
absl::StatusOr<ProgramTable> SiblingPrograms();

struct LauncherOptions {
  // Absolute folders.
  std::string state_folder;
  std::string log_folder;
  std::string spool_folder;
  // Short: sockets' paths have at most 107 bytes.
  std::string socket_folder;
  // What tasks are given as TFD_COORDINATOR.
  std::string coordinator;
  ProgramTable programs;
  // The beginning of the command line that runs a shim; the task's folder is
  // appended.
  std::vector<std::string> shim_command;
  // Between SIGTERM and SIGKILL.
  absl::Duration grace = absl::Seconds(5);
  uint64_t log_bytes = 64 << 20;
  int log_files = 3;
};

struct StartedShim {
  pid_t pid = -1;
  // At its end (POLLHUP) once the shim has claimed the task, or has ended.
  UniqueDescriptor claimed;
  // Readable once the shim has ended.
  UniqueDescriptor ended;
};

// Where things of a task and of a job are. Thread-safe, for it has no state of
// its own but its options.
class Launcher {
 public:
  explicit Launcher(LauncherOptions options);

  const LauncherOptions& options() const { return options_; }
  std::string TasksFolder() const;
  std::string TaskFolder(const TaskKey& key) const;
  std::string LogFolder(const TaskKey& key) const;
  std::string SpoolFolder(absl::string_view job) const;
  // Long ids are cut and given a checksum.
  std::string SocketFolder(absl::string_view job) const;

  // Writes all that the task and its shim need and starts the shim, in a
  // session of its own: it survives this process. `cluster` is kept with it.
  absl::StatusOr<StartedShim> Start(const v1::TaskLaunch& launch,
                                    const TaskKey& key,
                                    const std::string& cluster) const;

  // Deletes the task's folder.
  absl::Status DeleteTask(const TaskKey& key) const;
  // Deletes the job's sockets, its spool and its tasks' folders.
  absl::Status DeleteJob(const std::string& job) const;

 private:
  absl::Status WriteFiles(const v1::TaskLaunch& launch, const TaskKey& key,
                          const std::string& cluster) const;
  absl::StatusOr<StartedShim> StartShim(const std::string& folder) const;

  const LauncherOptions options_;
};

// The task's whole environment. Pure but for the agent's own PATH, HOME, LANG
// and TZ, which are passed on where they are set.
std::map<std::string, std::string> TaskVariables(const Launcher& launcher,
                                                 const v1::TaskLaunch& launch,
                                                 const TaskKey& key);

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_LAUNCHER_H_
