// Keeps the node's tasks as the coordinator wants them. Owns all their state.
#ifndef TFD_DAEMON_AGENT_TASK_MANAGER_H_
#define TFD_DAEMON_AGENT_TASK_MANAGER_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/unique_descriptor.h"
#include "daemon/agent/converge.h"
#include "daemon/agent/launcher.h"
#include "daemon/agent/task_key.h"
#include "daemon/agent/task_process.h"
#include "tfd/v1/agent.pb.h"

namespace tfd::agent {

struct TaskManagerOptions {
  LauncherOptions launcher;
  // Every change of a task, on the manager's thread; must not block.
  std::function<void(const v1::TaskReport&)> on_report;
};

// One thread ("tasks") converges, starts, stops and watches: it sleeps in
// poll(2) on the shims' pidfds. The public functions are thread-safe and only
// leave word for it, or read what it published.
class TaskManager {
 public:
  // Adopts the tasks that an agent before this one has left in the state
  // folder: those that run go on, those that ended meanwhile are known, those
  // that were never started are forgotten.
  static absl::StatusOr<std::unique_ptr<TaskManager>> Start(
      TaskManagerOptions options);
  // Tasks go on.
  ~TaskManager();

  // The coordinator's cluster. Tasks of another one are stopped.
  void SetCluster(const std::string& cluster_id);
  // All that the coordinator wants. Tasks are started in the cluster set last.
  void SetDesired(v1::DesiredState desired);

  // Stops every task, starts none any more. Returns when all have ended, or
  // DeadlineExceeded naming those that have not.
  absl::Status StopAll(absl::Duration timeout);

  // One report for each task there is, as it is now.
  std::vector<v1::TaskReport> Reports() const;
  // Some generation of it has not ended.
  bool IsAlive(const TaskKey& key) const;
  // The number of tasks that have not ended.
  int AliveTasks() const;

 private:
  // What the manager's thread knows of a task.
  struct Task {
    std::string cluster;
    TaskPhase phase = TaskPhase::kRunning;
    // It is published that it runs.
    bool reported = false;
    // Absent where it could not even be started.
    std::optional<TaskProcess> process;
  };
  // What came from other threads.
  struct Mail {
    std::optional<std::string> cluster;
    std::optional<v1::DesiredState> desired;
    bool stop_all = false;
    bool quit = false;
  };

  explicit TaskManager(TaskManagerOptions options);

  void Adopt();
  void AdoptTask(const TaskKey& key);

  void Run();
  void Leave(const std::function<void(Mail&)>& write);
  // False when it is time to end.
  bool TakeMail();
  void TakeDesired(v1::DesiredState desired);
  void ConvergeUntilDone();
  Actual DescribeActual() const;
  void Do(const StartTask& start);
  void Do(const StopTask& stop);
  void Do(const DropTask& drop);
  void Do(const ForgetJob& forget);

  // Sleeps until a shim has news, mail is there or a time is reached.
  void Wait() const;
  void LookAtAll();
  // What there is to tell of it.
  std::optional<v1::TaskReport> LookAt(const TaskKey& key, Task& task) const;
  void SetFailedToStart(const TaskKey& key, const absl::Status& why);
  void Publish(const TaskKey& key, const v1::TaskReport& report);

  const Launcher launcher_;
  const std::function<void(const v1::TaskReport&)> on_report_;
  UniqueDescriptor wake_;

  // The manager's thread only, from here on.
  std::map<TaskKey, Task> tasks_;
  std::set<std::string> jobs_;
  Desired desired_;
  std::map<TaskKey, v1::TaskLaunch> launches_;
  bool stopping_all_ = false;

  mutable absl::Mutex mutex_;
  Mail mail_ ABSL_GUARDED_BY(mutex_);
  std::map<TaskKey, v1::TaskReport> reports_ ABSL_GUARDED_BY(mutex_);
  std::set<TaskKey> alive_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;
};

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_TASK_MANAGER_H_
