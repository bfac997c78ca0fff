// The shim: the process between the agent and one task. It outlives the agent,
// holds the task's output pipes, writes its logs and says how it ended. It has
// no other duty and no thread but one.
#ifndef TFD_DAEMON_AGENT_SHIM_H_
#define TFD_DAEMON_AGENT_SHIM_H_

#include <string>

namespace tfd::agent {

// What `tfd-agent shim FOLDER` runs, to be called first thing in main.
// `folder` is the task's (task_folder.h), absolute, with a launch.json. Leaves
// shim.json once the task's process is there, then closes standard output:
// that is the agent's sign to look. Returns once the task and everything below
// it is gone, its output is in the logs and exit.json is written; the result
// is for main, 0 unless it was not this shim that ran the task.
//
// SIGTERM to the shim stops the task: SIGTERM to its group and to all else
// below, SIGKILL after the grace time. What a task leaves behind when it ends
// by itself is killed at once. A task whose shim is killed is killed with it.
int RunShim(const std::string& folder);

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_SHIM_H_
