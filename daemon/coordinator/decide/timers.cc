#include "daemon/coordinator/decide/timers.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/units.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/core/views.h"
#include "daemon/coordinator/decide/jobs.h"
#include "daemon/coordinator/decide/nodes.h"
#include "daemon/coordinator/decide/recovery.h"

namespace tfd::coordinator {
namespace {

absl::Time SeenAt(const std::map<std::string, absl::Time>& seen,
                  const std::string& name) {
  const auto it = seen.find(name);
  return it == seen.end() ? absl::InfinitePast() : it->second;
}

void LookAtNodes(const Context& context) {
  std::vector<std::pair<std::string, std::string>> lost;
  Runtime& runtime = context.runtime;
  for (const auto& [name, node] : context.state().nodes) {
    if (node.gone) continue;
    const LivenessVerdict verdict =
        JudgeLease(SeenAt(runtime.nodes_seen, name), context.now,
                   runtime.judge_from, context.terms.lease);
    if (verdict.liveness == Liveness::kGone) {
      lost.emplace_back(name, verdict.reason);
      continue;
    }
    const bool silent = verdict.liveness == Liveness::kSilent;
    if (silent != (runtime.silent_nodes.count(name) > 0)) {
      context.Emit(ReviewQueue{});
    }
    if (silent) {
      runtime.silent_nodes[name] = verdict.reason;
      context.Emit(PublishNodes{});
    } else if (runtime.silent_nodes.erase(name) > 0) {
      context.Emit(PublishNodes{});
    }
  }
  for (const auto& [name, reason] : lost) LoseNode(context, name, reason);
}

// A task whose node is silent too is judged with its node.
void LookAtTasks(const Context& context, const std::string& id) {
  const Job& job = context.state().jobs.at(id);
  const auto runtime = context.runtime.jobs.find(id);
  static const std::map<std::string, absl::Time> kNobody;
  const auto& seen = runtime == context.runtime.jobs.end()
                         ? kNobody
                         : runtime->second.tasks_seen;
  for (const Task& task : job.tasks) {
    if (task.state != TaskState::kRunning ||
        context.runtime.silent_nodes.count(task.node) > 0) {
      continue;
    }
    const std::string name = TaskName(task);
    const LivenessVerdict verdict =
        JudgeLease(SeenAt(seen, name), context.now, context.runtime.judge_from,
                   context.terms.lease);
    if (verdict.liveness != Liveness::kGone) continue;
    const std::string why =
        absl::StrCat(verdict.reason, " (process ", task.pid,
                     "): is it stopped, or its machine overloaded?");
    context.Record(TaskGivenUp{id, name, /*lost=*/false, why});
    Recover(context, id, {name}, why, std::nullopt);
    return;
  }
}

void LookAtStart(const Context& context, const std::string& id) {
  const Job& job = context.state().jobs.at(id);
  if ((job.state != JobState::kStarting && job.state != JobState::kRunning) ||
      context.now < context.runtime.judge_from) {
    return;
  }
  for (const Task& task : job.tasks) {
    if ((task.state != TaskState::kAssigned &&
         task.state != TaskState::kStarting) ||
        context.now - task.placed_at < context.terms.start_deadline) {
      continue;
    }
    const std::string name = TaskName(task);
    const std::string why =
        absl::StrCat("not all tasks were there within ",
                     tfd::FormatDuration(context.terms.start_deadline),
                     " after placement; missing: ", DescribeMissing(job));
    context.Record(TaskGivenUp{id, name, /*lost=*/false, why});
    Recover(context, id, {name}, why, std::nullopt);
    return;
  }
}

// Since when a task has been over whose process may be there.
absl::Time StoppingSince(const Context& context, const Job& job,
                         const std::string& task) {
  if (IsEnd(job.state)) return job.ended_at;
  return context.runtime.jobs[job.id]
      .stopping.try_emplace(task, context.now)
      .first->second;
}

void LookAtStop(const Context& context, const std::string& id) {
  if (context.now < context.runtime.judge_from) return;
  const Job& job = context.state().jobs.at(id);
  std::map<std::string, absl::Time>& stopping =
      context.runtime.jobs[id].stopping;
  std::vector<std::string> overdue;
  for (const Task& task : job.tasks) {
    const std::string name = TaskName(task);
    if (!IsEnd(task.state) || !task.process_alive) {
      stopping.erase(name);
    } else if (context.now - StoppingSince(context, job, name) >=
               context.terms.stop_grace) {
      overdue.push_back(name);
    }
  }
  for (const std::string& name : overdue) {
    context.Record(
        TaskReleased{id, name,
                     absl::StrCat("nobody saw its process end within ",
                                  tfd::FormatDuration(context.terms.stop_grace),
                                  "; its resources are given to others")});
  }
}

void LookAtRestart(const Context& context, const std::string& id) {
  ReplaceTasks(context, id);
  const Job* job = FindJob(context.state(), id);
  if (job != nullptr && job->state == JobState::kRestarting &&
      !IsStopping(*job) && job->restart_at <= context.now) {
    context.Emit(ReviewQueue{});
  }
}

}  // namespace

void StartJudging(Runtime& runtime, const Terms& terms, absl::Time now) {
  runtime.judge_from = now + terms.lease.lease;
  runtime.last_look = now;
}

void LookAtTime(const Context& context) {
  context.runtime.judge_from =
      JudgeFrom(context.runtime.judge_from, context.runtime.last_look,
                context.now, context.terms.lease);
  context.runtime.last_look = context.now;
  LookAtNodes(context);
  const std::set<std::string> active = context.state().active;
  for (const std::string& id : active) {
    LookAtTasks(context, id);
    LookAtStart(context, id);
    LookAtStop(context, id);
    LookAtRestart(context, id);
  }
}

}  // namespace tfd::coordinator
