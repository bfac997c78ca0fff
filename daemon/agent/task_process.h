// One task that was started, as seen through its shim and its folder.
#ifndef TFD_DAEMON_AGENT_TASK_PROCESS_H_
#define TFD_DAEMON_AGENT_TASK_PROCESS_H_

#include <poll.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/unique_descriptor.h"
#include "daemon/agent/launcher.h"
#include "daemon/agent/task_folder.h"

namespace tfd::agent {

// Event-loop only. The destructor lets the task go on.
class TaskProcess {
 public:
  // A shim that this agent has just started.
  TaskProcess(std::string folder, StartedShim shim);
  // One that an agent before this one has started, as its folder says.
  static TaskProcess Adopt(std::string folder);

  // Makes sure that a task whose shim has not claimed it never will be run
  // from this folder. False where it has been claimed.
  static bool VoidUnclaimed(const std::string& folder);

  // What is known once the process has been looked at.
  enum class State {
    // Its shim has been started and has not started the task yet.
    kStarting,
    kRunning,
    // exit() says how; nothing of it is left.
    kEnded,
  };
  // Finds out where it is now. Where its shim was killed it kills what is left
  // of the task and records that nobody knows how it ended.
  State Look();

  // Of the task; 0 while it is starting.
  pid_t pid() const { return task_pid_; }
  const ExitRecord& exit() const { return exit_; }

  // Tells its shim to stop the task. A shim that has not done so by
  // `patience` is killed by the next Look after that.
  void Stop(absl::Duration patience);

  // Adds the descriptors that are readable when Look has something to find
  // out, and lowers `look_at` (of SteadyNow) to when it has anyway.
  void Watch(std::vector<pollfd>& descriptors, absl::Time& look_at) const;

 private:
  explicit TaskProcess(std::string folder) : folder_(std::move(folder)) {}

  bool ShimLives();
  State LookBehindShim();
  // Nothing where it cannot be reached.
  void TellShim(int signal_number);
  State EndedWithout(ExitRecord::Kind kind, const std::string& message);

  std::string folder_;
  pid_t shim_pid_ = 0;
  pid_t task_pid_ = 0;
  UniqueDescriptor claimed_;
  UniqueDescriptor ended_;
  absl::Time stop_by_ = absl::InfiniteFuture();
  bool has_ended_ = false;
  ExitRecord exit_;
};

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_TASK_PROCESS_H_
