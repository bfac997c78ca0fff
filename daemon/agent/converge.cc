#include "daemon/agent/converge.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"

namespace tfd::agent {
namespace {

// Why the task should not be here; empty where it should, or where nobody has
// said yet.
std::string WhyUnwanted(const Desired& desired, const ActualTask& task) {
  if (desired.cluster.empty()) return "";
  if (task.cluster != desired.cluster) {
    return absl::StrCat("it belongs to cluster ", task.cluster,
                        " and the coordinator is of cluster ", desired.cluster);
  }
  if (!desired.known || desired.tasks.count(task.key) > 0) return "";
  return "no longer listed";
}

bool MayStart(const TaskKey& key, const std::vector<ActualTask>& tasks) {
  return std::none_of(tasks.begin(), tasks.end(), [&](const ActualTask& task) {
    return task.key == key ||
           (task.key.SameTask(key) && task.phase != TaskPhase::kEnded);
  });
}

struct Describe {
  std::string operator()(const StopTask& stop) const {
    return absl::StrCat("stop ", stop.key.ToString(), ": ", stop.reason);
  }
  std::string operator()(const DropTask& drop) const {
    return absl::StrCat("drop ", drop.key.ToString(), ": ", drop.reason);
  }
  std::string operator()(const ForgetJob& forget) const {
    return absl::StrCat("forget ", forget.job, ": ", forget.reason);
  }
  std::string operator()(const StartTask& start) const {
    return absl::StrCat("start ", start.key.ToString(), ": ", start.reason);
  }
};

}  // namespace

std::vector<Action> Converge(const Desired& desired, const Actual& actual) {
  std::vector<Action> stops;
  std::vector<Action> drops;
  std::map<std::string, int> tasks_of_job;
  for (const ActualTask& task : actual.tasks) {
    const std::string why = WhyUnwanted(desired, task);
    const bool drop = !why.empty() && task.phase == TaskPhase::kEnded;
    if (drop) {
      drops.push_back(DropTask{task.key, absl::StrCat("ended, and ", why)});
    } else {
      ++tasks_of_job[task.key.job];
    }
    if (!why.empty() && task.phase == TaskPhase::kRunning) {
      stops.push_back(StopTask{task.key, why});
    }
  }
  std::vector<Action> actions = std::move(stops);
  actions.insert(actions.end(), drops.begin(), drops.end());
  if (!desired.known || desired.cluster.empty()) return actions;

  for (const TaskKey& key : desired.tasks) ++tasks_of_job[key.job];
  for (const std::string& job : actual.jobs) {
    if (tasks_of_job.count(job) > 0) continue;
    actions.push_back(ForgetJob{job, "no task of it is listed or here"});
  }
  for (const TaskKey& key : desired.tasks) {
    if (!MayStart(key, actual.tasks)) continue;
    actions.push_back(StartTask{key, "listed and not on this node"});
  }
  return actions;
}

std::string ToString(const Action& action) {
  return std::visit(Describe{}, action);
}

}  // namespace tfd::agent
