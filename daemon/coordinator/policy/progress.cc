#include "daemon/coordinator/policy/progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/coordinator/core/describe.h"

namespace tfd::coordinator {
namespace {

// The checkpoint after the last step, once it is committed.
const Checkpoint* LastCheckpoint(const Job& job) {
  if (!job.plan.has_value() || job.plan->open || job.checkpoints.empty()) {
    return nullptr;
  }
  const Checkpoint& newest = job.checkpoints.back();
  return newest.ref.step >= job.plan->total_steps ? &newest : nullptr;
}

const Checkpoint* FirstMeetingTarget(const Job& job) {
  if (!job.facts.target.has_value()) return nullptr;
  for (const Checkpoint& checkpoint : job.checkpoints) {
    if (checkpoint.evaluated &&
        MeetsTarget(*job.facts.target, checkpoint.values)) {
      return &checkpoint;
    }
  }
  return nullptr;
}

std::optional<EventBody> NextExport(const Job& job) {
  if (job.exporting.has_value()) return std::nullopt;
  if (const Checkpoint* checkpoint = FirstMeetingTarget(job)) {
    return ExportStarted{
        job.id, checkpoint->ref.step,
        absl::StrCat("it meets the target, ", DescribeTarget(*job.facts.target),
                     " (", FormatValues(checkpoint->values), ")")};
  }
  const Checkpoint* last = LastCheckpoint(job);
  if (last == nullptr || (job.facts.has_validation && !last->evaluated)) {
    return std::nullopt;
  }
  return ExportStarted{job.id, last->ref.step, "it is the last one"};
}

std::optional<EventBody> NextEvaluation(const Job& job) {
  if (!job.facts.has_validation || job.evaluating.has_value() ||
      job.exporting.has_value() || job.checkpoints.empty()) {
    return std::nullopt;
  }
  const Checkpoint& newest = job.checkpoints.back();
  if (newest.evaluated) return std::nullopt;
  if (CountTasks(job, Role::kEvaluator) == 0 &&
      LastCheckpoint(job) == nullptr) {
    return std::nullopt;
  }
  return EvaluationStarted{job.id, newest.ref.step};
}

std::optional<EventBody> NextRetirement(const Job& job) {
  CheckpointsRetired retired{job.id, {}};
  const size_t keep = static_cast<size_t>(std::max(1, job.facts.keep));
  for (size_t i = 0; i + keep < job.checkpoints.size(); ++i) {
    const int64_t step = job.checkpoints[i].ref.step;
    if (job.evaluating != step && job.exporting != step) {
      retired.steps.push_back(step);
    }
  }
  if (retired.steps.empty()) return std::nullopt;
  return retired;
}

std::string DescribeSuccess(const Job& job) {
  std::string text = absl::StrCat("the export is in ", job.export_uri);
  if (!job.facts.target.has_value()) return text;
  absl::StrAppend(
      &text, "; the target, ", DescribeTarget(*job.facts.target),
      FirstMeetingTarget(job) == nullptr ? ", was not met" : ", is met");
  return text;
}

// Its workers write all there is.
std::optional<EventBody> NextOfPredictions(const Job& job,
                                           const Progress& progress) {
  const bool through = std::all_of(
      job.tasks.begin(), job.tasks.end(),
      [](const Task& task) { return task.state == TaskState::kSucceeded; });
  if (!through) return std::nullopt;
  return JobSucceeded{
      job.id, absl::StrCat("the predictions are in ", job.facts.storage),
      progress};
}

}  // namespace

std::optional<EventBody> NextStep(const Job& job, const Progress& progress) {
  if (job.state != JobState::kRunning) return std::nullopt;
  if (job.facts.purpose == Purpose::kServe) return std::nullopt;
  if (job.facts.purpose == Purpose::kPredict) {
    return NextOfPredictions(job, progress);
  }
  if (!job.export_uri.empty()) {
    return JobSucceeded{job.id, DescribeSuccess(job), progress};
  }
  if (auto next = NextExport(job)) return next;
  if (auto next = NextEvaluation(job)) return next;
  return NextRetirement(job);
}

std::string DescribeTarget(const Target& target) {
  std::string text = target.metric;
  if (target.at_least.has_value()) {
    absl::StrAppendFormat(&text, " at least %.6g", *target.at_least);
  }
  if (target.at_most.has_value()) {
    absl::StrAppendFormat(&text, " at most %.6g", *target.at_most);
  }
  return text;
}

bool MeetsTarget(const Target& target,
                 const std::map<std::string, double>& values) {
  const auto it = values.find(target.metric);
  if (it == values.end()) return false;
  // Written so that NaN meets nothing.
  if (target.at_least.has_value() && !(it->second >= *target.at_least)) {
    return false;
  }
  return !target.at_most.has_value() || it->second <= *target.at_most;
}

}  // namespace tfd::coordinator
