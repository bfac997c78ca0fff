// What is said of a task to the coordinator.
#ifndef TFD_DAEMON_AGENT_TASK_REPORT_H_
#define TFD_DAEMON_AGENT_TASK_REPORT_H_

#include <sys/types.h>

#include <string>

#include "daemon/agent/task_folder.h"
#include "daemon/agent/task_key.h"
#include "tfd/v1/agent.pb.h"

namespace tfd::agent {

v1::TaskReport StartedReport(const TaskKey& key, pid_t pid);

// With what the task itself said was wrong (its exit file) and its last lines.
// All text in it is valid UTF-8 and bounded, whatever the task wrote.
v1::TaskReport EndedReport(const TaskKey& key, pid_t pid,
                           const ExitRecord& exit,
                           const std::string& task_folder,
                           const std::string& log_root);

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_TASK_REPORT_H_
