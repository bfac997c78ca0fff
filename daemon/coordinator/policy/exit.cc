#include "daemon/coordinator/policy/exit.h"

#include "absl/strings/str_cat.h"
#include "daemon/coordinator/core/describe.h"
#include "daemon/coordinator/core/lifecycle.h"

namespace tfd::coordinator {

ExitVerdict JudgeExit(const Job& job, const Task& task, const ExitCause& exit) {
  const std::string how = DescribeExit(exit);
  if (IsEnd(job.state) || IsEnd(task.state)) return {false, how};
  if (exit.kind != ExitCause::Kind::kExited || exit.code != 0) {
    return {true, how};
  }
  if (job.state != JobState::kRunning) {
    return {true, absl::StrCat(how, " before all tasks of its job were there")};
  }
  if (job.facts.purpose == Purpose::kPredict) {
    return {false, "has written all its parts and ended"};
  }
  if (task.role == Role::kWorker && TaskName(task) != FinisherOf(job) &&
      job.facts.purpose == Purpose::kTrain) {
    return {false, "has taken all its steps and ended"};
  }
  return {true, absl::StrCat(how, " though its job goes on")};
}

}  // namespace tfd::coordinator
