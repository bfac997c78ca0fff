#include "daemon/coordinator/core/views.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/coordinator/core/lifecycle.h"

namespace tfd::coordinator {
namespace {

constexpr size_t kMaxNamesInReason = 4;

// A training whose length nobody knows yet.
std::string DescribeGrowing(const Job& job, int64_t step) {
  const Dataset* dataset = FindDataset(job, kTrainingDataset);
  if (dataset == nullptr) return absl::StrCat("training: step ", step);
  return absl::StrCat("training: step ", step, ", segment ", job.plan->segments,
                      " of ", dataset->segments, " that are published");
}

std::string DescribeRunning(const Job& job, int64_t step) {
  for (const Dataset& dataset : job.datasets) {
    if (dataset.complete || dataset.segments > 0) continue;
    return absl::StrCat("waiting for producers of dataset ", dataset.name, " (",
                        CommittedProducers(dataset), " of ",
                        dataset.producers_needed, " committed, ",
                        RowsOf(dataset), " rows)");
  }
  if (job.exporting.has_value()) {
    return absl::StrCat("exporting checkpoint ", *job.exporting);
  }
  if (job.facts.purpose == Purpose::kServe) {
    return "answers what is pushed to its workers, until it is cancelled";
  }
  if (job.facts.purpose == Purpose::kPredict) {
    return job.plan.has_value()
               ? absl::StrCat("predicting: part ", step, " of ",
                              job.plan->total_steps)
               : std::string("opening the model and the input");
  }
  std::string text = "training";
  if (job.plan.has_value()) {
    const int64_t total = job.plan->total_steps;
    text = job.plan->open ? DescribeGrowing(job, step)
           : step >= total
               ? absl::StrCat("all ", total, " steps are taken")
               : absl::StrCat("training: step ", step, " of ", total);
  }
  if (job.evaluating.has_value()) {
    absl::StrAppend(&text, "; scoring checkpoint ", *job.evaluating);
  }
  return text;
}

// Of each task that is not there, why not.
std::string DescribeReplaced(const Job& job) {
  std::string text;
  for (const Task& task : job.tasks) {
    if (task.replace_at.has_value()) {
      absl::StrAppend(&text, "; ", TaskName(task), ": ", task.reason);
    } else if (task.state == TaskState::kAssigned ||
               task.state == TaskState::kStarting) {
      absl::StrAppend(&text, "; ", TaskName(task), " is being started again");
    }
  }
  return text;
}

std::string DescribeRestarting(const Job& job,
                               const std::string& queue_reason) {
  std::vector<std::string> ending;
  for (const Task& task : job.tasks) {
    if (task.process_alive && task.role != Role::kFeed &&
        ending.size() < kMaxNamesInReason) {
      ending.push_back(TaskName(task));
    }
  }
  if (!ending.empty()) {
    return absl::StrCat(job.restart_reason, "; waits for ",
                        absl::StrJoin(ending, ", "), " to end");
  }
  return queue_reason.empty()
             ? job.restart_reason
             : absl::StrCat(job.restart_reason, "; ", queue_reason);
}

}  // namespace

std::vector<DesiredTask> DesiredOn(const State& state,
                                   const std::string& node) {
  std::vector<DesiredTask> desired;
  for (const std::string& id : state.active) {
    const Job* job = FindJob(state, id);
    if (job == nullptr) continue;
    for (const Task& task : job->tasks) {
      if (task.node == node && !IsEnd(task.state)) {
        desired.push_back({job, &task});
      }
    }
  }
  return desired;
}

std::vector<Effect> CommandsOnAttach(const Job& job, const Task& task) {
  std::vector<Effect> effects;
  if (job.state != JobState::kRunning) return effects;
  effects.push_back(SendMembership{job.id});
  const std::string name = TaskName(task);
  if (name == TaskName(ShardRoleOf(job), 0) && !job.checkpoints.empty()) {
    effects.push_back(SendCommitted{job.id});
  }
  if (name == FinisherOf(job)) {
    if (job.evaluating.has_value()) effects.push_back(SendEvaluate{job.id});
    if (job.exporting.has_value()) effects.push_back(SendExport{job.id});
  }
  return effects;
}

std::string DescribeWait(const Job& job, const std::string& queue_reason,
                         int64_t step) {
  switch (job.state) {
    case JobState::kSubmitted:
      return "acknowledged";
    case JobState::kQueued:
      return queue_reason.empty() ? "waits to be placed" : queue_reason;
    case JobState::kStarting:
      return absl::StrCat("waiting for ", DescribeMissing(job));
    case JobState::kRunning:
      return absl::StrCat(DescribeRunning(job, step), DescribeReplaced(job));
    case JobState::kRestarting:
      return DescribeRestarting(job, queue_reason);
    case JobState::kSucceeded:
    case JobState::kFailed:
    case JobState::kCancelled:
      return job.reason;
  }
  return "";
}

std::string DescribeMissing(const Job& job) {
  std::vector<std::string> names;
  size_t more = 0;
  for (const Task& task : job.tasks) {
    if (task.state == TaskState::kRunning) continue;
    if (names.size() == kMaxNamesInReason) {
      ++more;
      continue;
    }
    names.push_back(task.state == TaskState::kStarting
                        ? absl::StrCat(TaskName(task), " (process ", task.pid,
                                       " on ", task.node,
                                       " has not said hello)")
                        : absl::StrCat(TaskName(task), " (not started on ",
                                       task.node, ")"));
  }
  std::string text = absl::StrJoin(names, ", ");
  if (more > 0) absl::StrAppend(&text, " and ", more, " more");
  return text;
}

int CommittedProducers(const Dataset& dataset) {
  int committed = 0;
  for (const auto& [name, producer] : dataset.producers) {
    committed += producer.committed ? 1 : 0;
  }
  return committed;
}

}  // namespace tfd::coordinator
