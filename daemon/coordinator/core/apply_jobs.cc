// Apply: jobs and the tasks they are made of.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/coordinator/core/apply_internal.h"
#include "daemon/coordinator/core/lifecycle.h"

namespace tfd::coordinator::internal {
namespace {

// The tasks that are known before placement; feeds follow from it.
std::vector<Task> TasksOf(const JobFacts& facts) {
  std::vector<Task> tasks;
  for (const RoleNeed& need : facts.roles) {
    for (int number = 0; number < need.count; ++number) {
      Task task;
      task.role = need.role;
      task.number = number;
      task.resources = need.each;
      task.reason = "not placed yet";
      tasks.push_back(std::move(task));
    }
  }
  return tasks;
}

// Between two gangs there are only feeds.
bool MayBeReplaced(const Job& job, const Task& task) {
  const bool is_time =
      job.state == JobState::kStarting || job.state == JobState::kRunning ||
      (job.state == JobState::kRestarting && task.role == Role::kFeed);
  return is_time &&
         (task.state == TaskState::kFailed || task.state == TaskState::kLost) &&
         !task.replace_at.has_value();
}

bool ByRoleAndNumber(const Task& a, const Task& b) {
  return std::make_pair(a.role, a.number) < std::make_pair(b.role, b.number);
}

}  // namespace

bool Applier::On(const JobSubmitted& event) {
  if (state_.jobs.count(event.job) > 0) {
    return Violation(absl::StrCat("job ", event.job, " is there already"));
  }
  Job& job = state_.jobs[event.job];
  job.id = event.job;
  job.owner = event.owner;
  job.spec = event.spec;
  job.facts = event.facts;
  job.token = event.token;
  job.feed_token = event.feed_token;
  job.submitted_index = state_.last_index;
  job.submitted_at = time_;
  job.tasks = TasksOf(event.facts);
  std::sort(job.tasks.begin(), job.tasks.end(), ByRoleAndNumber);
  for (const PushedDataset& pushed : event.facts.pushed) {
    Dataset dataset;
    dataset.name = pushed.name;
    dataset.producers_needed = pushed.producers;
    job.datasets.push_back(std::move(dataset));
  }
  UpdateActive(job);
  return true;
}

bool Applier::On(const JobQueued& event) {
  Job* job = FindLiveJob(event.job);
  if (job == nullptr || !MoveJob(*job, JobState::kQueued)) return false;
  Emit(ReviewQueue{});
  return true;
}

bool Applier::Overcommits(const std::string& job,
                          const std::vector<Placement>& placements) {
  std::map<std::string, Resources> reserved = ReservedByNode(state_);
  for (const Placement& placement : placements) {
    Resources& sum = reserved[placement.node];
    sum.millicpus += placement.resources.millicpus;
    sum.memory_bytes += placement.resources.memory_bytes;
    const Resources& offered = state_.nodes[placement.node].offered;
    if ((placement.resources.millicpus > 0 &&
         sum.millicpus > offered.millicpus) ||
        (placement.resources.memory_bytes > 0 &&
         sum.memory_bytes > offered.memory_bytes)) {
      return !Violation(absl::StrCat("node ", placement.node,
                                     " has less than job ", job,
                                     " is to have there"));
    }
  }
  return false;
}

Task Applier::Assigned(const Placement& placement, uint64_t generation) {
  Task task;
  task.role = placement.role;
  task.number = placement.number;
  task.node = placement.node;
  task.resources = placement.resources;
  task.generation = generation;
  task.placed_at = time_;
  task.process_alive = true;
  MoveTask(task, TaskState::kAssigned,
           absl::StrCat("to be started by the agent of ", placement.node));
  return task;
}

bool Applier::On(const GangPlaced& event) {
  Job* job = FindLiveJob(event.job);
  if (job == nullptr) return false;
  if (event.generation <= job->generation) {
    return Violation(absl::StrCat("job ", job->id, " has generation ",
                                  job->generation, " already"));
  }
  if (IsStopping(*job)) {
    return Violation(absl::StrCat("processes of job ", job->id,
                                  " from before may still be there"));
  }
  std::vector<Task> tasks;
  std::set<std::string> nodes;
  for (const Placement& placement : event.placements) {
    if (state_.nodes.count(placement.node) == 0) {
      return Violation(absl::StrCat("there is no node ", placement.node));
    }
    const auto feed = std::find_if(
        job->tasks.begin(), job->tasks.end(), [&](const Task& task) {
          return task.role == Role::kFeed && placement.role == Role::kFeed &&
                 task.number == placement.number &&
                 task.node == placement.node && !IsEnd(task.state) &&
                 task.process_alive;
        });
    tasks.push_back(feed == job->tasks.end()
                        ? Assigned(placement, event.generation)
                        : *feed);
    nodes.insert(placement.node);
  }
  if (Overcommits(job->id, event.placements) ||
      !MoveJob(*job, JobState::kStarting)) {
    return false;
  }
  std::sort(tasks.begin(), tasks.end(), ByRoleAndNumber);
  job->tasks = std::move(tasks);
  job->generation = event.generation;
  job->gang = event.generation;
  job->placed_at = time_;
  UpdateActive(*job);
  for (const std::string& node : nodes) Emit(SendDesired{node});
  Emit(PublishNodes{});
  return true;
}

bool Applier::On(const GangStarted& event) {
  Job* job = FindLiveJob(event.job);
  if (job == nullptr) return false;
  for (const Task& task : job->tasks) {
    if (task.state != TaskState::kRunning) {
      return Violation(absl::StrCat(TaskName(task), " has not said hello"));
    }
  }
  if (!MoveJob(*job, JobState::kRunning)) return false;
  if (job->started_at == absl::Time()) {
    job->started_at = time_;
    if (event.restore.has_value()) job->first_step = event.restore->step;
  }
  job->restart_reason.clear();
  job->restore = event.restore;
  // What training starts from is a checkpoint that counts.
  if (event.restore.has_value() && job->checkpoints.empty()) {
    Checkpoint checkpoint;
    checkpoint.ref = *event.restore;
    job->checkpoints.push_back(std::move(checkpoint));
  }
  Emit(SendMembership{job->id});
  return true;
}

void Applier::StopTasks(Job& job, bool spare_feeds, TaskState remaining,
                        const std::string& why) {
  job.evaluating.reset();
  job.exporting.reset();
  std::set<std::string> nodes;
  for (Task& task : job.tasks) {
    if (task.process_alive) nodes.insert(task.node);
    if (spare_feeds && task.role == Role::kFeed) continue;
    task.replace_at.reset();
    if (IsEnd(task.state)) continue;
    // A task that never started cannot have ended well.
    const TaskState end =
        task.state == TaskState::kPending ? TaskState::kCancelled : remaining;
    MoveTask(task, end, why);
  }
  UpdateActive(job);
  for (const std::string& node : nodes) Emit(SendDesired{node});
  Emit(PublishNodes{});
  Emit(ReviewQueue{});
}

void Applier::EndJob(Job& job, TaskState remaining, const std::string& why) {
  job.ended_at = time_;
  job.restart_reason.clear();
  StopTasks(job, /*spare_feeds=*/false, remaining, why);
}

bool Applier::On(const JobRestarted& event) {
  Job* job = FindLiveJob(event.job);
  if (job == nullptr || !MoveJob(*job, JobState::kRestarting)) return false;
  job->failures += event.counted ? 1 : 0;
  ++job->restarts;
  job->restart_at = event.at;
  job->restart_reason = event.reason;
  StopTasks(*job, /*spare_feeds=*/true, TaskState::kCancelled,
            "stopped: its job is started again");
  return true;
}

bool Applier::On(const JobSucceeded& event) {
  Job* job = FindLiveJob(event.job);
  if (job == nullptr) return false;
  if (job->export_uri.empty() && job->facts.purpose == Purpose::kTrain) {
    return Violation(absl::StrCat("job ", job->id, " has no export"));
  }
  if (!MoveJob(*job, JobState::kSucceeded)) return false;
  job->reason = event.reason;
  job->final_progress = event.progress;
  EndJob(*job, TaskState::kSucceeded, "stopped: its job has succeeded");
  return true;
}

bool Applier::On(const JobFailed& event) {
  Job* job = FindLiveJob(event.job);
  if (job == nullptr || !MoveJob(*job, JobState::kFailed)) return false;
  job->reason = event.reason;
  job->cause = event.cause;
  job->final_progress = event.progress;
  EndJob(*job, TaskState::kCancelled, "stopped: its job has failed");
  return true;
}

bool Applier::On(const JobCancelled& event) {
  Job* job = FindLiveJob(event.job);
  if (job == nullptr || !MoveJob(*job, JobState::kCancelled)) return false;
  job->reason = event.reason;
  job->final_progress = event.progress;
  EndJob(*job, TaskState::kCancelled, "stopped: its job was cancelled");
  return true;
}

bool Applier::On(const TaskStarted& event) {
  Job* job = FindLiveJob(event.job);
  Task* task = job == nullptr ? nullptr : FindMutableTask(*job, event.task);
  if (task == nullptr ||
      !MoveTask(*task, TaskState::kStarting,
                "its process is there; waiting for its hello")) {
    return false;
  }
  task->pid = event.pid;
  return true;
}

bool Applier::On(const TaskAttached& event) {
  if (event.incarnation == 0) {
    return Violation(absl::StrCat(event.task, " has no incarnation"));
  }
  Job* job = FindLiveJob(event.job);
  Task* task = job == nullptr ? nullptr : FindMutableTask(*job, event.task);
  if (task == nullptr || !MoveTask(*task, TaskState::kRunning, "")) {
    return false;
  }
  task->incarnation = event.incarnation;
  task->pid = event.pid;
  task->endpoint = event.endpoint;
  if (event.restore.has_value()) job->restore = event.restore;
  // One that takes another's place; the others learn where it is.
  if (job->state == JobState::kRunning) Emit(SendMembership{job->id});
  return true;
}

void Applier::FreeTask(Job& job, Task& task) {
  task.process_alive = false;
  UpdateActive(job);
  Emit(SendDesired{task.node});
  Emit(PublishNodes{});
  Emit(ReviewQueue{});
}

bool Applier::On(const TaskExited& event) {
  Job* job = FindMutableJob(event.job);
  Task* task = job == nullptr ? nullptr : FindMutableTask(*job, event.task);
  if (task == nullptr) return false;
  if (!IsEnd(task->state) &&
      !MoveTask(*task,
                event.failed ? TaskState::kFailed : TaskState::kSucceeded,
                event.reason)) {
    return false;
  }
  task->exit = event.exit;
  FreeTask(*job, *task);
  return true;
}

bool Applier::On(const TaskGivenUp& event) {
  Job* job = FindLiveJob(event.job);
  Task* task = job == nullptr ? nullptr : FindMutableTask(*job, event.task);
  if (task == nullptr ||
      !MoveTask(*task, event.lost ? TaskState::kLost : TaskState::kFailed,
                event.reason)) {
    return false;
  }
  Emit(SendDesired{task->node});
  Emit(RefuseTask{job->id, event.task, event.reason});
  return true;
}

bool Applier::On(const TaskToBeReplaced& event) {
  Job* job = FindLiveJob(event.job);
  Task* task = job == nullptr ? nullptr : FindMutableTask(*job, event.task);
  if (task == nullptr) return false;
  if (!MayBeReplaced(*job, *task)) {
    return Violation(
        absl::StrCat(event.task, " is ", TaskStateName(task->state), " in job ",
                     job->id, ", which is ", JobStateName(job->state),
                     ": nothing can take its place"));
  }
  job->failures += event.counted ? 1 : 0;
  ++job->restarts;
  task->replace_at = event.at;
  task->reason = event.reason;
  return true;
}

bool Applier::On(const TaskReplaced& event) {
  Job* job = FindLiveJob(event.job);
  const Placement& placement = event.placement;
  Task* task =
      job == nullptr
          ? nullptr
          : FindMutableTask(*job, TaskName(placement.role, placement.number));
  if (task == nullptr) return false;
  if (!task->replace_at.has_value() || task->process_alive ||
      event.generation <= job->generation ||
      state_.nodes.count(placement.node) == 0) {
    return Violation(absl::StrCat(TaskName(*task), " of job ", job->id,
                                  " cannot be replaced on ", placement.node,
                                  " in generation ", event.generation));
  }
  if (Overcommits(job->id, {placement})) return false;
  *task = Assigned(placement, event.generation);
  job->generation = event.generation;
  UpdateActive(*job);
  Emit(SendDesired{placement.node});
  Emit(PublishNodes{});
  return true;
}

bool Applier::On(const TaskReleased& event) {
  Job* job = FindMutableJob(event.job);
  Task* task = job == nullptr ? nullptr : FindMutableTask(*job, event.task);
  if (task == nullptr) return false;
  if (!IsEnd(task->state)) {
    return Violation(absl::StrCat(event.task, " has not ended"));
  }
  FreeTask(*job, *task);
  return true;
}

}  // namespace tfd::coordinator::internal
