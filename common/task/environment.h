// What an agent tells a task of its job, and how a task says what was wrong.
// The one place that reads the environment in a task.
#ifndef TFD_COMMON_TASK_ENVIRONMENT_H_
#define TFD_COMMON_TASK_ENVIRONMENT_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd {

// The variables' names, for the agent that sets them.
inline constexpr char kCoordinatorVariable[] = "TFD_COORDINATOR";
inline constexpr char kJobVariable[] = "TFD_JOB";
inline constexpr char kTaskVariable[] = "TFD_TASK";
inline constexpr char kGenerationVariable[] = "TFD_GENERATION";
inline constexpr char kTokenFileVariable[] = "TFD_TOKEN_FILE";
inline constexpr char kFeedTokenFileVariable[] = "TFD_FEED_TOKEN_FILE";
inline constexpr char kSpecFileVariable[] = "TFD_SPEC_FILE";
inline constexpr char kExitFileVariable[] = "TFD_EXIT_FILE";
inline constexpr char kSocketFolderVariable[] = "TFD_SOCKET_FOLDER";
inline constexpr char kSpoolFolderVariable[] = "TFD_SPOOL_FOLDER";

struct TaskEnvironment {
  // Where the coordinator is, as Dial takes it.
  std::string coordinator;
  std::string job;
  // ROLE/NUMBER, and its parts.
  std::string task;
  std::string role;
  int number = 0;
  uint64_t generation = 0;
  // The job's token, read from its file.
  std::string token;
  // Of a feed, and of a worker that serves a model: what callers present.
  std::string feed_token;
  // With defaults filled in and paths absolute, read from its file.
  v1::JobSpec spec;
  // Where to write what was wrong (WriteExitFile).
  std::string exit_file;
  // A short folder for Unix sockets, shared by the tasks on this node.
  std::string socket_folder;
  // feed only: where pushed data is kept.
  std::string spool_folder;

  // The number of compute threads of a role: its cpus, at least 1.
  int Threads() const;
};

// InvalidArgument naming the variable that is missing or wrong ("is a task
// started by hand? tfd run starts one").
absl::StatusOr<TaskEnvironment> ReadTaskEnvironment();

// For the agent and for tests: the same from a map.
absl::StatusOr<TaskEnvironment> ParseTaskEnvironment(
    const std::map<std::string, std::string>& variables);

// Leaves `status` for the agent, which passes it on as the exit's message.
// Called once, last thing, by a task's root; OK writes nothing.
void WriteExitFile(const std::string& path, const absl::Status& status);
// The message in an exit file, or empty.
std::string ReadExitFile(const std::string& path);

}  // namespace tfd

#endif  // TFD_COMMON_TASK_ENVIRONMENT_H_
