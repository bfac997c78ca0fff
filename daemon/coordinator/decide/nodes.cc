#include "daemon/coordinator/decide/nodes.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/decide/jobs.h"
#include "daemon/coordinator/decide/recovery.h"
#include "daemon/coordinator/policy/exit.h"

namespace tfd::coordinator {
namespace {

bool IsKnown(const State& state, const AgentFacts& facts) {
  const auto it = state.nodes.find(facts.node);
  if (it == state.nodes.end()) return false;
  const Node& node = it->second;
  return !node.gone && node.incarnation == facts.incarnation &&
         node.offered.millicpus == facts.offered.millicpus &&
         node.offered.memory_bytes == facts.offered.memory_bytes &&
         node.endpoint.host_id == facts.endpoint.host_id &&
         node.endpoint.unix_path == facts.endpoint.unix_path &&
         node.endpoint.tcp == facts.endpoint.tcp &&
         node.log_token == facts.log_token && node.version == facts.version;
}

// A job and a task of it, by name, so that they outlive changes of the state.
using TaskKey = std::pair<std::string, std::string>;

// Tasks that are to have a process on `node`, except `there`.
std::vector<TaskKey> MissingOn(const State& state, const std::string& node,
                               const std::set<TaskKey>& there) {
  std::vector<TaskKey> missing;
  for (const std::string& id : state.active) {
    for (const Task& task : state.jobs.at(id).tasks) {
      // One that was only assigned is started by the desired state.
      if (task.node != node || !task.process_alive ||
          task.state == TaskState::kAssigned) {
        continue;
      }
      TaskKey key{id, TaskName(task)};
      if (there.count(key) == 0) missing.push_back(std::move(key));
    }
  }
  return missing;
}

// The task that is meant, in the generation that is meant.
const Task* TaskOf(const State& state, const ProcessReport& report) {
  const Job* job = FindJob(state, report.job);
  const Task* task = job == nullptr ? nullptr : FindTask(*job, report.task);
  return task != nullptr && task->generation == report.generation ? task
                                                                  : nullptr;
}

void GiveUpMissing(const Context& context, const TaskKey& key,
                   const std::string& node) {
  const auto& [id, name] = key;
  const Job* job = FindJob(context.state(), id);
  const Task* task = job == nullptr ? nullptr : FindTask(*job, name);
  if (task == nullptr || !task->process_alive) return;
  const std::string reason = absl::StrCat(
      "the agent of ", node,
      " came back without its process: was its state folder removed?");
  if (!IsEnd(task->state)) {
    context.Record(TaskGivenUp{id, name, /*lost=*/false, reason});
    Recover(context, id, {name}, reason, std::nullopt);
  }
  context.Record(TaskReleased{id, name, reason});
  ReplaceTasks(context, id);
}

}  // namespace

absl::Status AttachNode(const Context& context, AgentFacts facts) {
  const std::string node = facts.node;
  context.runtime.nodes_seen[node] = context.now;
  if (context.runtime.silent_nodes.erase(node) > 0 ||
      IsKnown(context.state(), facts)) {
    context.Emit(PublishNodes{});
    context.Emit(ReviewQueue{});
  }
  std::vector<ProcessReport> reports = std::move(facts.tasks);
  if (!IsKnown(context.state(), facts)) {
    context.Record(NodeRegistered{node, std::move(facts.incarnation),
                                  facts.offered, std::move(facts.endpoint),
                                  std::move(facts.log_token),
                                  std::move(facts.version)});
  }
  // The one that ended first is its job's cause.
  std::stable_sort(reports.begin(), reports.end(),
                   [](const ProcessReport& a, const ProcessReport& b) {
                     return a.ended_at_ms < b.ended_at_ms;
                   });
  std::set<TaskKey> there;
  for (const ProcessReport& report : reports) {
    if (TaskOf(context.state(), report) != nullptr) {
      there.emplace(report.job, report.task);
    }
    TakeReport(context, node, report);
  }
  for (const TaskKey& key : MissingOn(context.state(), node, there)) {
    GiveUpMissing(context, key, node);
  }
  context.Emit(SendDesired{node});
  return absl::OkStatus();
}

void TakeReport(const Context& context, const std::string& node,
                const ProcessReport& report) {
  // A process nobody wants is stopped by the desired state.
  const Task* task = TaskOf(context.state(), report);
  if (task == nullptr || task->node != node || !task->process_alive) return;
  if (!report.exit.has_value()) {
    if (task->state == TaskState::kAssigned) {
      context.Record(TaskStarted{report.job, report.task, report.pid});
    }
    return;
  }
  const Job& job = context.state().jobs.at(report.job);
  const ExitVerdict verdict = JudgeExit(job, *task, *report.exit);
  context.Record(TaskExited{report.job, report.task, *report.exit,
                            verdict.failed, verdict.reason});
  if (verdict.failed) {
    Recover(context, report.job, {report.task}, verdict.reason, report.exit);
  } else {
    ReplaceTasks(context, report.job);
    Advance(context, report.job);
  }
}

void LoseNode(const Context& context, const std::string& node,
              const std::string& reason) {
  const std::string why = absl::StrCat("its node ", node, " ", reason);
  const std::set<std::string> active = context.state().active;
  std::map<std::string, std::vector<std::string>> lost;
  for (const std::string& id : active) {
    for (const Task& task : context.state().jobs.at(id).tasks) {
      if (task.node == node && !IsEnd(task.state)) {
        lost[id].push_back(TaskName(task));
      }
    }
  }
  for (const auto& [id, tasks] : lost) {
    for (const std::string& task : tasks) {
      context.Record(TaskGivenUp{id, task, /*lost=*/true, why});
    }
  }
  context.runtime.silent_nodes.erase(node);
  context.runtime.nodes_seen.erase(node);
  context.Record(NodeLost{node, reason});
  ExitCause exit;
  exit.kind = ExitCause::Kind::kNodeLost;
  for (const auto& [id, tasks] : lost) Recover(context, id, tasks, why, exit);
  // What waited for the end of processes there.
  for (const std::string& id : active) ReplaceTasks(context, id);
}

}  // namespace tfd::coordinator
