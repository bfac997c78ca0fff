#include "daemon/coordinator/core/invariants.h"

#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/coordinator/core/lifecycle.h"

namespace tfd::coordinator {
namespace {

absl::Status Broken(const Job& job, const std::string& what) {
  return absl::InternalError(
      absl::StrCat("job ", job.id, " (", JobStateName(job.state), "): ", what));
}

absl::Status CheckTask(const State& state, const Job& job, const Task& task) {
  const std::string name = TaskName(task);
  const bool placed = task.state != TaskState::kPending;
  if (!IsEnd(task.state)) {
    if (placed != !task.node.empty()) {
      return Broken(job, absl::StrCat(name, " is ", TaskStateName(task.state),
                                      " on node \"", task.node, "\""));
    }
    if (placed != task.process_alive) {
      return Broken(job, absl::StrCat(name, " is ", TaskStateName(task.state),
                                      " and its process is ",
                                      task.process_alive ? "there" : "not"));
    }
    if (IsEnd(job.state)) {
      return Broken(
          job, absl::StrCat(name, " goes on: ", TaskStateName(task.state)));
    }
  }
  if (task.state == TaskState::kRunning && task.incarnation == 0) {
    return Broken(job, absl::StrCat(name, " runs and has no incarnation"));
  }
  if (!task.node.empty() && state.nodes.count(task.node) == 0) {
    return Broken(job,
                  absl::StrCat(name, " is on an unknown node ", task.node));
  }
  return absl::OkStatus();
}

absl::Status CheckTasks(const State& state, const Job& job) {
  std::pair<Role, int> last{Role::kPs, -1};
  for (const Task& task : job.tasks) {
    const std::pair<Role, int> key{task.role, task.number};
    if (key <= last) return Broken(job, "tasks are out of order");
    last = key;
    const absl::Status status = CheckTask(state, job, task);
    if (!status.ok()) return status;
    if (job.state == JobState::kRunning &&
        (task.state == TaskState::kPending ||
         task.state == TaskState::kAssigned ||
         task.state == TaskState::kStarting) &&
        task.generation <= job.gang) {
      return Broken(job, absl::StrCat(TaskName(task), " is not there"));
    }
    if (task.replace_at.has_value() && !IsEnd(task.state)) {
      return Broken(job,
                    absl::StrCat(TaskName(task), " goes on and is replaced"));
    }
    if (task.generation > job.generation) {
      return Broken(
          job, absl::StrCat(TaskName(task), " is of generation ",
                            task.generation, ", its job of ", job.generation));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckCheckpoints(const Job& job) {
  int64_t last = -1;
  for (const Checkpoint& checkpoint : job.checkpoints) {
    if (checkpoint.ref.step <= last) {
      return Broken(job, "checkpoints are out of order");
    }
    last = checkpoint.ref.step;
  }
  // Pinned checkpoints are there.
  for (const std::optional<int64_t>& pinned : {job.evaluating, job.exporting}) {
    if (!pinned.has_value()) continue;
    if (FindCheckpoint(job, *pinned) == nullptr) {
      return Broken(job, absl::StrCat("checkpoint ", *pinned,
                                      " is in use and not there"));
    }
    if (job.state != JobState::kRunning) {
      return Broken(job, absl::StrCat("checkpoint ", *pinned, " is in use"));
    }
  }
  if (job.state == JobState::kSucceeded && job.export_uri.empty() &&
      job.facts.purpose == Purpose::kTrain) {
    return Broken(job, "succeeded without an export");
  }
  return absl::OkStatus();
}

absl::Status CheckSegments(const Job& job, const Dataset& dataset) {
  if (dataset.retired_segments > dataset.segments) {
    return Broken(
        job, absl::StrCat("segment ", dataset.retired_segments, " of dataset ",
                          dataset.name, " is retired and was never published"));
  }
  for (const auto& [name, producer] : dataset.producers) {
    for (const auto& [partition_name, partition] : producer.partitions) {
      if (partition.segment >= 0 && partition.segment <= dataset.segments) {
        continue;
      }
      return Broken(job,
                    absl::StrCat("partition ", partition_name, " of ", name,
                                 " is in segment ", partition.segment, " of ",
                                 dataset.segments));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckDatasets(const Job& job) {
  for (const Dataset& dataset : job.datasets) {
    const absl::Status segments = CheckSegments(job, dataset);
    if (!segments.ok()) return segments;
    if (!dataset.complete) continue;
    int committed = 0;
    for (const auto& [name, producer] : dataset.producers) {
      if (!producer.committed) {
        return Broken(job, absl::StrCat("dataset ", dataset.name,
                                        " is complete without ", name));
      }
      ++committed;
    }
    if (committed < dataset.producers_needed) {
      return Broken(job,
                    absl::StrCat("dataset ", dataset.name, " is complete with ",
                                 committed, " producers"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckJob(const State& state, const Job& job) {
  for (const absl::Status& status :
       {CheckTasks(state, job), CheckCheckpoints(job), CheckDatasets(job)}) {
    if (!status.ok()) return status;
  }
  const bool ended = IsEnd(job.state);
  if (ended == job.reason.empty()) return Broken(job, "its reason is wrong");
  if (ended != (job.ended_at != absl::Time())) {
    return Broken(job, "its end has no time, or the other way round");
  }
  if (job.state == JobState::kRestarting && job.restart_reason.empty()) {
    return Broken(job, "nobody knows why it is started again");
  }
  if ((job.state == JobState::kFailed) != job.cause.has_value()) {
    return Broken(job, "failed without a cause, or the other way round");
  }
  if (job.events.size() > kMaxEventsPerJob) return Broken(job, "many events");
  if (job.retired.size() > kMaxRetiredCheckpoints) {
    return Broken(job, "many retired checkpoints");
  }
  bool active = !ended;
  for (const Task& task : job.tasks) active = active || task.process_alive;
  if (active != (state.active.count(job.id) > 0)) {
    return Broken(job, "the index of active jobs is wrong");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckInvariants(const State& state) {
  if (!state.violation.empty()) return absl::InternalError(state.violation);
  for (const auto& [id, job] : state.jobs) {
    if (id != job.id) return Broken(job, absl::StrCat("it is filed as ", id));
    const absl::Status status = CheckJob(state, job);
    if (!status.ok()) return status;
  }
  for (const std::string& id : state.active) {
    if (state.jobs.count(id) == 0) {
      return absl::InternalError(absl::StrCat("no active job ", id));
    }
  }
  return absl::OkStatus();
}

}  // namespace tfd::coordinator
