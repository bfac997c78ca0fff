// An event in words, for `tfd events`. A pure function of the state before the
// event and the event. Never tells a secret.
#ifndef TFD_DAEMON_COORDINATOR_CORE_DESCRIBE_H_
#define TFD_DAEMON_COORDINATOR_CORE_DESCRIBE_H_

#include <cstdint>
#include <string>

#include "daemon/coordinator/core/event.h"
#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator {

struct Description {
  // Empty for an event that is about no job.
  std::string job;
  std::string task;
  // A short name for programs: that of the event's type.
  std::string kind;
  std::string message;
};

Description Describe(const State& before, const EventBody& body);

// "exit code 3", "killed by signal 9 (SIGKILL)", "could not be started", with
// the task's own words behind it, if there are any.
std::string DescribeExit(const ExitCause& exit);

// "2 cpus", "0.5 cpu".
std::string FormatCpus(int64_t millicpus);

// "accuracy 0.9912, loss 0.0312".
std::string FormatValues(const std::map<std::string, double>& values);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CORE_DESCRIBE_H_
