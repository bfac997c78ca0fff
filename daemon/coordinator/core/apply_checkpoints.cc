// Apply: training, checkpoints, scores and the export.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/coordinator/core/apply_internal.h"

namespace tfd::coordinator::internal {
namespace {

Checkpoint* FindMutableCheckpoint(Job& job, int64_t step) {
  for (Checkpoint& checkpoint : job.checkpoints) {
    if (checkpoint.ref.step == step) return &checkpoint;
  }
  return nullptr;
}

std::string NoCheckpoint(const Job& job, int64_t step) {
  return absl::StrCat("job ", job.id, " has no checkpoint of step ", step);
}

}  // namespace

bool Applier::On(const PlanAnnounced& event) {
  Job* job = FindLiveJob(event.job);
  if (job == nullptr) return false;
  job->plan = event.plan;
  if (event.plan.segments == 0) return true;
  for (Dataset& dataset : job->datasets) {
    if (dataset.name == kTrainingDataset) {
      dataset.segment_ends[event.plan.segments] = event.plan.total_steps;
    }
  }
  return true;
}

bool Applier::On(const TrainingFinished& event) {
  Job* job = FindLiveJob(event.job);
  Task* task = job == nullptr ? nullptr : FindMutableTask(*job, event.task);
  if (task == nullptr) return false;
  task->training_done = true;
  return true;
}

bool Applier::On(const CheckpointCommitted& event) {
  Job* job = FindLiveJob(event.job);
  if (job == nullptr) return false;
  if (!job->checkpoints.empty() &&
      job->checkpoints.back().ref.step >= event.checkpoint.step) {
    return Violation(absl::StrCat("job ", job->id, " has a checkpoint of step ",
                                  job->checkpoints.back().ref.step,
                                  " already, ", event.checkpoint.step,
                                  " is not newer"));
  }
  Checkpoint checkpoint;
  checkpoint.ref = event.checkpoint;
  job->checkpoints.push_back(std::move(checkpoint));
  Emit(SendCommitted{job->id});
  return true;
}

bool Applier::On(const CheckpointsRetired& event) {
  Job* job = FindLiveJob(event.job);
  if (job == nullptr) return false;
  for (const int64_t step : event.steps) {
    if (FindMutableCheckpoint(*job, step) == nullptr) {
      return Violation(NoCheckpoint(*job, step));
    }
    if (job->evaluating == step || job->exporting == step) {
      return Violation(absl::StrCat("checkpoint ", step, " is in use"));
    }
  }
  for (const int64_t step : event.steps) {
    const Checkpoint* checkpoint = FindMutableCheckpoint(*job, step);
    if (checkpoint == nullptr) continue;  // named twice
    job->retired.push_back(checkpoint->ref);
    job->checkpoints.erase(job->checkpoints.begin() +
                           (checkpoint - job->checkpoints.data()));
  }
  if (job->retired.size() > kMaxRetiredCheckpoints) {
    job->retired.erase(job->retired.begin(),
                       job->retired.end() - kMaxRetiredCheckpoints);
  }
  Emit(SendCommitted{job->id});
  return true;
}

bool Applier::On(const EvaluationStarted& event) {
  Job* job = FindRunningJob(event.job);
  if (job == nullptr) return false;
  if (FindMutableCheckpoint(*job, event.step) == nullptr) {
    return Violation(NoCheckpoint(*job, event.step));
  }
  if (job->evaluating.has_value()) {
    return Violation(
        absl::StrCat("checkpoint ", *job->evaluating, " is being scored"));
  }
  job->evaluating = event.step;
  Emit(SendEvaluate{job->id});
  return true;
}

bool Applier::On(const CheckpointEvaluated& event) {
  Job* job = FindLiveJob(event.job);
  if (job == nullptr) return false;
  Checkpoint* checkpoint = FindMutableCheckpoint(*job, event.step);
  if (checkpoint == nullptr) return Violation(NoCheckpoint(*job, event.step));
  checkpoint->evaluated = true;
  checkpoint->values = event.values;
  if (job->evaluating == event.step) job->evaluating.reset();
  return true;
}

bool Applier::On(const ExportStarted& event) {
  Job* job = FindRunningJob(event.job);
  if (job == nullptr) return false;
  if (FindMutableCheckpoint(*job, event.step) == nullptr) {
    return Violation(NoCheckpoint(*job, event.step));
  }
  if (job->exporting.has_value()) {
    return Violation(
        absl::StrCat("checkpoint ", *job->exporting, " is being exported"));
  }
  job->exporting = event.step;
  Emit(SendExport{job->id});
  return true;
}

bool Applier::On(const ExportWritten& event) {
  Job* job = FindRunningJob(event.job);
  if (job == nullptr) return false;
  if (job->exporting != event.step || event.uri.empty()) {
    return Violation(absl::StrCat("nobody asked for an export of checkpoint ",
                                  event.step, " to \"", event.uri, "\""));
  }
  job->export_uri = event.uri;
  return true;
}

}  // namespace tfd::coordinator::internal
