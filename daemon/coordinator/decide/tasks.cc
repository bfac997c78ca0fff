#include "daemon/coordinator/decide/tasks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/core/views.h"
#include "daemon/coordinator/decide/growth.h"
#include "daemon/coordinator/decide/jobs.h"
#include "daemon/coordinator/decide/recovery.h"

namespace tfd::coordinator {
namespace {

absl::Status Refused(const TaskFacts& facts, const std::string& why) {
  return absl::FailedPreconditionError(
      absl::StrCat("job ", facts.job, " ", facts.task, ", generation ",
                   facts.generation, ": ", why, "; this process must end"));
}

absl::Status CheckSeat(const Job* job, const TaskFacts& facts) {
  if (job == nullptr) return Refused(facts, "there is no such job here");
  if (IsEnd(job->state)) {
    return Refused(
        facts, absl::StrCat("the job has ended: ", JobStateName(job->state)));
  }
  const Task* task = FindTask(*job, facts.task);
  if (task == nullptr) return Refused(facts, "there is no such task");
  if (facts.generation != task->generation) {
    return Refused(facts, absl::StrCat("the generation is stale, it is now ",
                                       task->generation));
  }
  if (IsEnd(task->state)) {
    return Refused(
        facts, absl::StrCat("the task has ended: ", TaskStateName(task->state),
                            ", ", task->reason));
  }
  if (facts.incarnation == 0) return Refused(facts, "it has no incarnation");
  return absl::OkStatus();
}

bool AllRunning(const Job& job) {
  return std::all_of(job.tasks.begin(), job.tasks.end(), [](const Task& task) {
    return task.state == TaskState::kRunning;
  });
}

// Steps whose shards are all there and whose manifest is not committed.
std::vector<int64_t> StepsToWrite(const Context& context, const Job& job) {
  std::vector<int64_t> steps;
  const auto runtime = context.runtime.jobs.find(job.id);
  if (runtime == context.runtime.jobs.end()) return steps;
  for (const auto& [step, saved] : runtime->second.shards_saved) {
    if (saved.complete()) steps.push_back(step);
  }
  return steps;
}

int64_t NewestCommitted(const Job& job) {
  return job.checkpoints.empty() ? -1 : job.checkpoints.back().ref.step;
}

}  // namespace

const Job* Listen(const Context& context, const Speaker& speaker,
                  const Task** task) {
  const Job* job = FindJob(context.state(), speaker.job);
  if (job == nullptr || job->state != JobState::kRunning) return nullptr;
  *task = FindTask(*job, speaker.task);
  if (*task == nullptr || (*task)->incarnation != speaker.incarnation) {
    return nullptr;
  }
  // A worker's last words may come after the report of its end.
  return (*task)->state == TaskState::kRunning ||
                 (*task)->state == TaskState::kSucceeded
             ? job
             : nullptr;
}

absl::StatusOr<std::vector<Effect>> AttachTask(const Context& context,
                                               const TaskFacts& facts) {
  const Job* job = FindJob(context.state(), facts.job);
  const absl::Status seat = CheckSeat(job, facts);
  if (!seat.ok()) return seat;
  const Task* task = FindTask(*job, facts.task);
  context.runtime.jobs[facts.job].tasks_seen[facts.task] = context.now;

  if (task->state == TaskState::kRunning) {
    if (task->incarnation != facts.incarnation) {
      const std::string why =
          absl::StrCat("its process ", task->pid, " was replaced by process ",
                       facts.pid, ", which knows nothing of what it did");
      context.Record(TaskGivenUp{facts.job, facts.task, /*lost=*/false, why});
      Recover(context, facts.job, {facts.task}, why, std::nullopt);
      return Refused(facts, why);
    }
    std::vector<Effect> again = CommandsOnAttach(*job, *task);
    if (facts.task == TaskName(ShardRoleOf(*job), 0)) {
      for (const int64_t step : StepsToWrite(context, *job)) {
        again.push_back(SendWriteManifest{facts.job, step});
      }
    }
    return again;
  }
  context.Record(TaskAttached{facts.job, facts.task, facts.incarnation,
                              facts.pid, facts.endpoint, facts.restore});
  // What the one whose place it takes was asked for.
  if (job->state == JobState::kRunning) return CommandsOnAttach(*job, *task);
  if (job->state == JobState::kStarting && AllRunning(*job)) {
    context.Record(GangStarted{facts.job, RestoreOf(*job)});
    Advance(context, facts.job);
  }
  return std::vector<Effect>();
}

void TakePlan(const Context& context, const Speaker& speaker,
              const TrainingPlan& plan) {
  const Task* task = nullptr;
  const Job* job = Listen(context, speaker, &task);
  if (job == nullptr || plan.total_steps <= 0) return;
  if (plan.segments > 0) {
    // Said again whenever there is more; a repeated one says nothing new.
    const bool grown = !job->plan.has_value() ||
                       plan.segments > job->plan->segments ||
                       (job->plan->open && !plan.open);
    if (!grown) return;
    context.Record(PlanAnnounced{speaker.job, plan});
    RetireSegments(context, speaker.job);
    Advance(context, speaker.job);
    return;
  }
  if (job->plan.has_value()) {
    if (job->plan->total_steps == plan.total_steps) return;
    // Workers that see different data would wait for each other for ever.
    const std::string why =
        absl::StrCat("counts ", plan.total_steps, " steps over ", plan.records,
                     " records where another worker counts ",
                     job->plan->total_steps, " over ", job->plan->records,
                     ": do all nodes have the same training data?");
    context.Record(TaskGivenUp{speaker.job, speaker.task, false, why});
    FailJob(context, speaker.job, speaker.task, why, std::nullopt);
    return;
  }
  context.Record(PlanAnnounced{speaker.job, plan});
  Advance(context, speaker.job);
}

void TakeTrainingDone(const Context& context, const Speaker& speaker,
                      int64_t step) {
  const Task* task = nullptr;
  const Job* job = Listen(context, speaker, &task);
  if (job == nullptr || task->training_done) return;
  context.Record(TrainingFinished{speaker.job, speaker.task, step});
}

void TakeMetrics(const Context& context, const Speaker& speaker, int64_t step,
                 double epoch, const std::map<std::string, double>& values) {
  const Task* task = nullptr;
  if (Listen(context, speaker, &task) == nullptr) return;
  context.runtime.metrics.Add(speaker.job, step, epoch, values);
  context.Emit(PublishJob{speaker.job});
}

void TakeShardSaved(const Context& context, const Speaker& speaker,
                    int64_t step, uint32_t shards, const ShardFile& file) {
  const Task* task = nullptr;
  const Job* job = Listen(context, speaker, &task);
  if (job == nullptr || step <= NewestCommitted(*job)) return;
  const auto tasks = static_cast<uint32_t>(CountTasks(*job, ShardRoleOf(*job)));
  const uint32_t needed = shards == 0 ? tasks : shards;
  if (needed > tasks || file.shard >= needed) return;
  SavedShards& saved = context.runtime.jobs[speaker.job].shards_saved[step];
  saved.needed = needed;
  saved.files[file.shard] = file;
  if (saved.complete()) context.Emit(SendWriteManifest{speaker.job, step});
}

void TakeManifestWritten(const Context& context, const Speaker& speaker,
                         const CheckpointRef& checkpoint) {
  const Task* task = nullptr;
  const Job* job = Listen(context, speaker, &task);
  if (job == nullptr || speaker.task != TaskName(ShardRoleOf(*job), 0) ||
      checkpoint.step <= NewestCommitted(*job)) {
    return;
  }
  context.Record(CheckpointCommitted{speaker.job, checkpoint});
  auto& saved = context.runtime.jobs[speaker.job].shards_saved;
  saved.erase(saved.begin(), saved.upper_bound(checkpoint.step));
  RetireSegments(context, speaker.job);
  Advance(context, speaker.job);
}

void TakeEvaluated(const Context& context, const Speaker& speaker, int64_t step,
                   const std::map<std::string, double>& values) {
  const Task* task = nullptr;
  const Job* job = Listen(context, speaker, &task);
  if (job == nullptr || speaker.task != FinisherOf(*job) ||
      job->evaluating != step) {
    return;
  }
  context.Record(CheckpointEvaluated{speaker.job, step, values});
  std::map<std::string, double> metrics;
  for (const auto& [name, value] : values) {
    metrics[absl::StrCat("validation_", name)] = value;
  }
  context.runtime.metrics.Add(speaker.job, step, 0, metrics);
  Advance(context, speaker.job);
}

void TakeExported(const Context& context, const Speaker& speaker, int64_t step,
                  const std::string& uri) {
  const Task* task = nullptr;
  const Job* job = Listen(context, speaker, &task);
  if (job == nullptr || speaker.task != FinisherOf(*job) ||
      job->exporting != step || uri.empty()) {
    return;
  }
  context.Record(ExportWritten{speaker.job, step, uri});
  Advance(context, speaker.job);
}

}  // namespace tfd::coordinator
