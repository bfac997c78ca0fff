// Which task of which job, in which generation, and the names of its folders.
#ifndef TFD_DAEMON_AGENT_TASK_KEY_H_
#define TFD_DAEMON_AGENT_TASK_KEY_H_

#include <cstdint>
#include <string>
#include <tuple>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tfd::agent {

// A value. Only ParseTaskKey and ParseFolderName make one from outside data,
// so that its names are safe as parts of paths.
struct TaskKey {
  std::string job;
  std::string role;
  int number = 0;
  uint64_t generation = 0;

  // ROLE/NUMBER, as in the messages.
  std::string Task() const;
  // ROLE-NUMBER, the folder of its logs, which all generations share.
  std::string LogFolder() const;
  // ROLE-NUMBER-gGENERATION, the folder of its state.
  std::string StateFolder() const;
  // "mnist-x1 worker/0 (generation 2)", for people.
  std::string ToString() const;
  // The same task of the same job, whatever the generation.
  bool SameTask(const TaskKey& other) const;

  friend bool operator<(const TaskKey& a, const TaskKey& b) {
    return std::tie(a.job, a.role, a.number, a.generation) <
           std::tie(b.job, b.role, b.number, b.generation);
  }
  friend bool operator==(const TaskKey& a, const TaskKey& b) {
    return std::tie(a.job, a.role, a.number, a.generation) ==
           std::tie(b.job, b.role, b.number, b.generation);
  }
};

// InvalidArgument unless `job` is letters, digits, '.', '_' and '-', does not
// begin with a dot and is at most 100 long: it names folders.
absl::Status CheckJobName(absl::string_view job);

// `task` is ROLE/NUMBER, the role lower case letters. InvalidArgument names
// what is wrong.
absl::StatusOr<TaskKey> ParseTaskKey(absl::string_view job,
                                     absl::string_view task,
                                     uint64_t generation);

// From the names of folders, see StateFolder.
absl::StatusOr<TaskKey> ParseFolderName(absl::string_view job,
                                        absl::string_view folder);

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_TASK_KEY_H_
