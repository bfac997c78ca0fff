#include "daemon/coordinator/decide/recovery.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/units.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/decide/jobs.h"
#include "daemon/coordinator/policy/placement.h"
#include "daemon/coordinator/policy/recovery.h"

namespace tfd::coordinator {
namespace {

std::string PlaceOf(const Job& job, const std::string& name) {
  const Task* task = FindTask(job, name);
  return task == nullptr || task->node.empty()
             ? name
             : absl::StrCat(name, " on ", task->node);
}

void RestartJob(const Context& context, const std::string& id,
                const std::string& task, const RecoveryPlan& recovery,
                const std::string& reason) {
  JobRuntime& runtime = context.runtime.jobs[id];
  // Shards of the next gang say anew what they have saved.
  runtime.shards_saved.clear();
  runtime.queue_reason.clear();
  context.Record(JobRestarted{id, task, recovery.counted,
                              context.now + recovery.delay, reason});
}

// A node for a process that takes another's place, or why there is none.
GangPlan PlaceAgain(const Context& context, const Job& job, const Task& task) {
  return PlaceOne(job.facts,
                  Placement{task.role, task.number, task.node, task.resources},
                  OffersOf(context));
}

}  // namespace

void Recover(const Context& context, const std::string& id,
             const std::vector<std::string>& lost, const std::string& message,
             const std::optional<ExitCause>& exit) {
  const Job* job = FindJob(context.state(), id);
  if (job == nullptr || lost.empty() || IsEnd(job->state)) return;
  const RecoveryPlan recovery = DecideRecovery(*job, lost, exit);
  // A feed whose node is lost, and nothing that was pushed there: the next gang
  // has another.
  if (job->state == JobState::kRestarting &&
      recovery.remedy == Remedy::kRestart) {
    return;
  }
  switch (recovery.remedy) {
    case Remedy::kFail:
      return FailJob(context, id, lost.front(),
                     absl::StrCat(message, recovery.note), exit);
    case Remedy::kRestart:
      return RestartJob(context, id, lost.front(), recovery,
                        absl::StrCat(PlaceOf(*job, lost.front()), ": ", message,
                                     recovery.note));
    case Remedy::kReplace:
      break;
  }
  // However many went together, it is one failure.
  bool counted = recovery.counted;
  for (const std::string& name : lost) {
    context.Record(TaskToBeReplaced{id, name, std::exchange(counted, false),
                                    context.now + recovery.delay,
                                    absl::StrCat(message, recovery.note)});
  }
  ReplaceTasks(context, id);
}

void ReplaceTasks(const Context& context, const std::string& id) {
  const Job* job = FindJob(context.state(), id);
  if (job == nullptr) return;
  std::vector<std::string> due;
  for (const Task& task : job->tasks) {
    if (task.replace_at.has_value() && !task.process_alive &&
        *task.replace_at <= context.now) {
      due.push_back(TaskName(task));
    }
  }
  for (const std::string& name : due) {
    const Task* task = FindTask(*job, name);
    if (task == nullptr || !task->replace_at.has_value()) continue;
    GangPlan plan = PlaceAgain(context, *job, *task);
    if (!plan.placements.empty()) {
      context.runtime.jobs[id].tasks_seen.erase(name);
      context.Record(
          TaskReplaced{id, job->generation + 1, plan.placements.front()});
      continue;
    }
    if (job->state == JobState::kRestarting ||
        context.now - *task->replace_at < context.terms.start_deadline) {
      continue;
    }
    // The others would wait for it; so all of them wait for a place.
    RestartJob(context, id, name, RecoveryPlan(),
               absl::StrCat("there was no room for ", name, " for ",
                            tfd::FormatDuration(context.terms.start_deadline),
                            ": ", plan.reason));
    return;
  }
}

}  // namespace tfd::coordinator
