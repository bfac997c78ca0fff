// What the agent's tests share.
#ifndef TFD_TESTS_AGENT_AGENT_TESTING_H_
#define TFD_TESTS_AGENT_AGENT_TESTING_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "daemon/agent/task_key.h"
#include "tfd/v1/agent.pb.h"

namespace tfd::agent {

// The tfd-agent beside the test's own folder.
std::string AgentProgram();

// Looks until `condition` holds; false where it does not within a time that
// only a hang takes.
bool Eventually(absl::FunctionRef<bool()> condition);

// The contents, or empty.
std::string Slurp(const std::string& path);
void Write(const std::string& path, absl::string_view text);

// The process that wrote its number into this file, once it has; else 0.
int PidIn(const std::string& path);
bool IsAlive(int pid);

TaskKey Key(absl::string_view job, absl::string_view task,
            uint64_t generation = 1);

v1::TaskLaunch LaunchOf(
    absl::string_view job, absl::string_view task, uint64_t generation = 1,
    v1::TaskLaunch::Program program = v1::TaskLaunch::WORKER);

}  // namespace tfd::agent

#endif  // TFD_TESTS_AGENT_AGENT_TESTING_H_
