// The files in STATE/tasks/JOB/ROLE-N-gG, through which the agent, the shim and
// a later agent know of one task:
//
//   launch.json   what to run; the agent writes it before it starts the shim
//   shim.json     which processes run it; the shim links it exclusively, so
//                 that a task is started once, whoever else tries
//   exit.json     how it ended; the shim's last act
//   exit_message  what the task itself said was wrong (common/task)
//   spec.pb, token, feed_token   for the task
//   shim.log      standard error of the shim, for its loader and crashes
//
// Files appear whole or not at all, but are not fsynced: after a power cut the
// processes they speak of are gone too.
#ifndef TFD_DAEMON_AGENT_TASK_FOLDER_H_
#define TFD_DAEMON_AGENT_TASK_FOLDER_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/agent/process.h"

namespace tfd::agent {

// Of what the agent keeps: for its user, and its group to read.
inline constexpr mode_t kFolderMode = 0750;
inline constexpr mode_t kFileMode = 0640;

inline constexpr char kLaunchFile[] = "launch.json";
inline constexpr char kShimFile[] = "shim.json";
inline constexpr char kExitRecordFile[] = "exit.json";
inline constexpr char kExitMessageFile[] = "exit_message";
inline constexpr char kSpecFile[] = "spec.pb";
inline constexpr char kTokenFile[] = "token";
inline constexpr char kFeedTokenFile[] = "feed_token";
inline constexpr char kShimLogFile[] = "shim.log";

// What a shim is to run.
struct Launch {
  // The cluster whose coordinator wanted it.
  std::string cluster;
  // argv; command[0] is a path.
  std::vector<std::string> command;
  // All of it.
  std::map<std::string, std::string> environment;
  std::string working_folder;
  // stdout.log and stderr.log go here, rotated at `log_bytes`, at most
  // `log_files` of each.
  std::string log_folder;
  uint64_t log_bytes = 64 << 20;
  int log_files = 3;
  // Between SIGTERM and SIGKILL.
  int64_t grace_ms = 5000;
};

// The processes that run a task. All zero: an agent has voided the launch.
struct ShimRecord {
  ProcessId shim;
  // The task's process leads its own session and group.
  ProcessId task;
};

struct ExitRecord {
  enum class Kind { kExited, kSignaled, kStartFailed, kUnknown };
  Kind kind = Kind::kUnknown;
  int code = 0;
  int signal = 0;
  // For kStartFailed and kUnknown.
  std::string message;
  int64_t ended_at_ms = 0;
};

absl::Status WriteLaunch(const std::string& folder, const Launch& launch);
// NotFound where there is none; DataLoss where it cannot be understood. So for
// all three.
absl::StatusOr<Launch> ReadLaunch(const std::string& folder);

// AlreadyExists where the task has been claimed before.
absl::Status ClaimTask(const std::string& folder, const ShimRecord& record);
absl::StatusOr<ShimRecord> ReadShim(const std::string& folder);

absl::Status WriteExit(const std::string& folder, const ExitRecord& record);
absl::StatusOr<ExitRecord> ReadExit(const std::string& folder);

// Creates or replaces a file in one step, with exactly this mode.
absl::Status WriteSmallFile(const std::string& path, absl::string_view contents,
                            mode_t mode);

// Milliseconds since 1970.
int64_t NowMs();

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_TASK_FOLDER_H_
