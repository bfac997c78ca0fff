#include "daemon/coordinator/core/state.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tfd::coordinator {

const char* RoleName(Role role) {
  for (const auto& [value, name] : kRoleNames) {
    if (value == role) return name;
  }
  return "";
}

std::optional<Role> ParseRole(const std::string& name) {
  for (const auto& [value, role_name] : kRoleNames) {
    if (role_name == name) return value;
  }
  return std::nullopt;
}

std::string TaskName(Role role, int number) {
  return absl::StrCat(RoleName(role), "/", number);
}

std::string TaskName(const Task& task) {
  return TaskName(task.role, task.number);
}

const Job* FindJob(const State& state, const std::string& id) {
  const auto it = state.jobs.find(id);
  return it == state.jobs.end() ? nullptr : &it->second;
}

const Task* FindTask(const Job& job, const std::string& name) {
  for (const Task& task : job.tasks) {
    if (TaskName(task) == name) return &task;
  }
  return nullptr;
}

const Dataset* FindDataset(const Job& job, const std::string& name) {
  for (const Dataset& dataset : job.datasets) {
    if (dataset.name == name) return &dataset;
  }
  return nullptr;
}

PushedDataset FactsOf(const Job& job, const Dataset& dataset) {
  for (const PushedDataset& facts : job.facts.pushed) {
    if (facts.name == dataset.name) return facts;
  }
  return {};
}

const Checkpoint* FindCheckpoint(const Job& job, int64_t step) {
  for (const Checkpoint& checkpoint : job.checkpoints) {
    if (checkpoint.ref.step == step) return &checkpoint;
  }
  return nullptr;
}

int CountTasks(const Job& job, Role role) {
  int count = 0;
  for (const Task& task : job.tasks) count += task.role == role ? 1 : 0;
  return count;
}

std::optional<CheckpointRef> RestoreOf(const Job& job) {
  if (job.checkpoints.empty()) return job.restore;
  return job.checkpoints.back().ref;
}

bool IsStopping(const Job& job) {
  return std::any_of(job.tasks.begin(), job.tasks.end(), [](const Task& task) {
    return task.process_alive && task.role != Role::kFeed;
  });
}

int64_t FirstStepOf(const Job& job, const Dataset& dataset) {
  const auto end = dataset.segment_ends.find(dataset.retired_segments);
  if (end != dataset.segment_ends.end()) return end->second;
  // What a stream has given is gone; other rows are pushed again as a whole.
  return FactsOf(job, dataset).growth == Growth::kStream ? job.first_step : 0;
}

int64_t RowsAt(const Job& job, const std::string& feed) {
  int64_t rows = 0;
  for (const Dataset& dataset : job.datasets) {
    for (const auto& [producer_name, producer] : dataset.producers) {
      for (const auto& [name, partition] : producer.partitions) {
        if (partition.feed == feed && !IsRetired(dataset, partition)) {
          rows += partition.rows;
        }
      }
    }
  }
  return rows;
}

Role ShardRoleOf(const Job& job) {
  return CountTasks(job, Role::kPs) > 0 ? Role::kPs : Role::kWorker;
}

std::string FinisherOf(const Job& job) {
  return TaskName(
      CountTasks(job, Role::kEvaluator) > 0 ? Role::kEvaluator : Role::kWorker,
      0);
}

std::map<std::string, Resources> ReservedByNode(const State& state) {
  std::map<std::string, Resources> reserved;
  for (const std::string& id : state.active) {
    const Job* job = FindJob(state, id);
    if (job == nullptr) continue;
    for (const Task& task : job->tasks) {
      if (!task.process_alive) continue;
      Resources& sum = reserved[task.node];
      sum.millicpus += task.resources.millicpus;
      sum.memory_bytes += task.resources.memory_bytes;
    }
  }
  return reserved;
}

int64_t RowsOf(const Dataset& dataset) {
  int64_t rows = dataset.retired_rows;
  for (const auto& [name, producer] : dataset.producers) {
    for (const auto& [partition_name, partition] : producer.partitions) {
      rows += partition.rows;
    }
  }
  return rows;
}

std::optional<int64_t> BatchOf(const std::string& partition) {
  const size_t dash = partition.find('-');
  if (dash == std::string::npos || dash == 0) return std::nullopt;
  const std::string number = partition.substr(0, dash);
  const bool digits = std::all_of(number.begin(), number.end(),
                                  [](char c) { return c >= '0' && c <= '9'; });
  int64_t batch = 0;
  if (!digits || !absl::SimpleAtoi(number, &batch)) return std::nullopt;
  return batch;
}

bool IsRetired(const Dataset& dataset, const Partition& partition) {
  return partition.segment != 0 &&
         partition.segment <= dataset.retired_segments;
}

}  // namespace tfd::coordinator
