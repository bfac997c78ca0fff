// What an agent does next, as a pure function of what its coordinator wants and
// what is on the node.
#ifndef TFD_DAEMON_AGENT_CONVERGE_H_
#define TFD_DAEMON_AGENT_CONVERGE_H_

#include <set>
#include <string>
#include <variant>
#include <vector>

#include "daemon/agent/task_key.h"

namespace tfd::agent {

struct Desired {
  // The coordinator's; empty: none has been spoken to since the agent started.
  std::string cluster;
  // The cluster has said what it wants; until then its tasks are left alone.
  bool known = false;
  std::set<TaskKey> tasks;
};

enum class TaskPhase {
  // Its shim has been started.
  kRunning,
  // It has been told to end.
  kStopping,
  // It has ended; its record is kept.
  kEnded,
};

struct ActualTask {
  TaskKey key;
  // Whose coordinator wanted it.
  std::string cluster;
  TaskPhase phase = TaskPhase::kRunning;
};

struct Actual {
  std::vector<ActualTask> tasks;
  // Jobs that have folders on this node, with or without tasks.
  std::set<std::string> jobs;
};

struct StopTask {
  TaskKey key;
  std::string reason;
};
// Forgets an ended task.
struct DropTask {
  TaskKey key;
  std::string reason;
};
// Deletes what a job left on the node, logs excepted.
struct ForgetJob {
  std::string job;
  std::string reason;
};
struct StartTask {
  TaskKey key;
  std::string reason;
};

using Action = std::variant<StopTask, DropTask, ForgetJob, StartTask>;

// The rules, for a task on the node:
//   listed                            nothing: also one that has ended stays
//                                     ended, and is reported until not listed
//   not listed, or another cluster's  stopped, and dropped once it has ended
// and for one that is listed and not on the node: started, once no other
// generation of the same task is there alive. A job without tasks, on the node
// or listed, is forgotten. In the order in which they are to be done; call
// again when something has changed.
std::vector<Action> Converge(const Desired& desired, const Actual& actual);

// "start mnist-x1 worker/0 (generation 1): listed and not on this node".
std::string ToString(const Action& action);

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_CONVERGE_H_
