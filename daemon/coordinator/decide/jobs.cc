#include "daemon/coordinator/decide/jobs.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/policy/placement.h"
#include "daemon/coordinator/policy/progress.h"

namespace tfd::coordinator {
namespace {

constexpr size_t kMaxIdLength = 100;
// Decisions that can follow one event.
constexpr int kMaxSteps = 16;

// Ids become names of folders on the nodes.
absl::Status CheckId(const std::string& id) {
  bool ok = !id.empty() && id.size() <= kMaxIdLength &&
            absl::ascii_isalnum(static_cast<unsigned char>(id[0]));
  for (const char c : id) {
    ok = ok && (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                c == '-' || c == '_' || c == '.');
  }
  if (ok) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", id, "\" cannot be a job's id: use up to ", kMaxIdLength,
      " letters, digits, '-', '_' and '.', beginning with a letter or digit"));
}

// Two jobs in one folder would overwrite each other's checkpoints.
absl::Status CheckStorage(const State& state, const SubmitCommand& command) {
  // A job that serves a model writes nothing.
  if (command.facts.storage.empty()) return absl::OkStatus();
  for (const std::string& id : state.active) {
    const Job& other = state.jobs.at(id);
    if (IsEnd(other.state) || other.facts.storage != command.facts.storage) {
      continue;
    }
    return absl::FailedPreconditionError(absl::StrCat(
        "job ", id, " (", JobStateName(other.state), ") writes to the storage ",
        command.facts.storage, ": wait for it, cancel it (tfd cancel ", id,
        ") or name another folder (--set storage=FOLDER)"));
  }
  return absl::OkStatus();
}

// Those that are started again keep their place.
std::vector<std::string> QueueOf(const State& state, absl::Time now) {
  std::vector<std::pair<uint64_t, std::string>> order;
  for (const std::string& id : state.active) {
    const Job& job = state.jobs.at(id);
    if (job.state == JobState::kQueued ||
        (job.state == JobState::kRestarting && !IsStopping(job) &&
         job.restart_at <= now)) {
      order.emplace_back(job.submitted_index, id);
    }
  }
  std::sort(order.begin(), order.end());
  std::vector<std::string> queue;
  queue.reserve(order.size());
  for (auto& [index, id] : order) queue.push_back(std::move(id));
  return queue;
}

// What a gang that was there before is bound to.
FormerGang FormerOf(const Job& job) {
  FormerGang former;
  if (job.state != JobState::kRestarting) return former;
  for (const Task& task : job.tasks) {
    if (task.role == Role::kFeed && task.state != TaskState::kLost) {
      former.feeds.push_back(
          {task.role, task.number, task.node, task.resources});
    }
    if (job.facts.one_node && !task.node.empty()) former.node = task.node;
  }
  return former;
}

void SetQueueReason(const Context& context, const std::string& job,
                    const std::string& reason) {
  std::string& known = context.runtime.jobs[job].queue_reason;
  if (known == reason) return;
  known = reason;
  context.Emit(PublishJob{job});
}

}  // namespace

absl::StatusOr<SubmitOutcome> Submit(const Context& context,
                                     SubmitCommand command) {
  const absl::Status id_status = CheckId(command.id);
  if (!id_status.ok()) return id_status;
  if (const Job* job = FindJob(context.state(), command.id)) {
    return job->spec == command.spec ? SubmitOutcome::kSame
                                     : SubmitOutcome::kOther;
  }
  const absl::Status storage_status = CheckStorage(context.state(), command);
  if (!storage_status.ok()) return storage_status;
  const std::string id = command.id;
  context.Record(JobSubmitted{id, std::move(command.owner),
                              std::move(command.spec), std::move(command.facts),
                              std::move(command.token),
                              std::move(command.feed_token)});
  context.Record(JobQueued{id});
  return SubmitOutcome::kNew;
}

absl::StatusOr<const Job*> RequireJob(const State& state,
                                      const std::string& id) {
  if (const Job* job = FindJob(state, id)) return job;
  return absl::NotFoundError(absl::StrCat(
      "there is no job \"", id,
      "\" here: `tfd jobs` lists those there are, `tfd submit SPEC --id ", id,
      "` submits one"));
}

absl::Status Cancel(const Context& context, const std::string& id,
                    const std::string& reason) {
  const absl::StatusOr<const Job*> job = RequireJob(context.state(), id);
  if (!job.ok()) return job.status();
  if ((*job)->state == JobState::kCancelled) return absl::OkStatus();
  if (IsEnd((*job)->state)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "job ", id, " has ended already: ", JobStateName((*job)->state), ", ",
        (*job)->reason));
  }
  context.Record(
      JobCancelled{id, reason.empty() ? "cancelled" : "cancelled: " + reason,
                   ProgressOf(**job, context.runtime)});
  return absl::OkStatus();
}

std::vector<NodeOffer> OffersOf(const Context& context) {
  const std::map<std::string, Resources> reserved =
      ReservedByNode(context.state());
  std::vector<NodeOffer> offers;
  for (const auto& [name, node] : context.state().nodes) {
    if (node.gone) continue;
    NodeOffer offer{name, node.offered, {}, ""};
    const auto found = reserved.find(name);
    if (found != reserved.end()) offer.reserved = found->second;
    const auto silent = context.runtime.silent_nodes.find(name);
    if (silent != context.runtime.silent_nodes.end()) {
      offer.unusable = silent->second;
    } else if (context.runtime.nodes_seen.count(name) == 0) {
      offer.unusable = "has not come back since the coordinator started";
    }
    offers.push_back(std::move(offer));
  }
  return offers;
}

void PlaceQueued(const Context& context) {
  std::vector<NodeOffer> offers = OffersOf(context);
  std::string blocked_by;
  for (const std::string& id : QueueOf(context.state(), context.now)) {
    if (!blocked_by.empty()) {
      SetQueueReason(context, id,
                     absl::StrCat("waits behind job ", blocked_by,
                                  ", which came before it and waits for "
                                  "resources"));
      continue;
    }
    const Job& job = context.state().jobs.at(id);
    GangPlan plan = PlaceGang(job.facts, offers, FormerOf(job));
    if (plan.placements.empty()) {
      SetQueueReason(context, id, plan.reason);
      if (!plan.never_fits) blocked_by = id;
      continue;
    }
    for (const Placement& placement : plan.placements) {
      for (NodeOffer& offer : offers) {
        if (offer.name != placement.node) continue;
        offer.reserved.millicpus += placement.resources.millicpus;
        offer.reserved.memory_bytes += placement.resources.memory_bytes;
      }
    }
    context.runtime.jobs[id].queue_reason.clear();
    context.Record(GangPlaced{id, job.generation + 1,
                              std::move(plan.placements),
                              std::move(plan.reason)});
  }
}

void Advance(const Context& context, const std::string& id) {
  // Each step leaves less to do; were a decision ever not to fit the state, it
  // would be asked for again for ever.
  for (int step = 0; step < kMaxSteps; ++step) {
    const Job* job = FindJob(context.state(), id);
    if (job == nullptr) return;
    std::optional<EventBody> next =
        NextStep(*job, ProgressOf(*job, context.runtime));
    if (!next.has_value()) return;
    context.Record(*std::move(next));
  }
}

void FailJob(const Context& context, const std::string& id,
             const std::string& task, const std::string& message,
             const std::optional<ExitCause>& exit) {
  const Job* job = FindJob(context.state(), id);
  if (job == nullptr || IsEnd(job->state)) return;
  const Task* failed = FindTask(*job, task);
  std::string reason =
      task.empty() ? message
      : failed == nullptr || failed->node.empty()
          ? absl::StrCat(task, ": ", message)
          : absl::StrCat(task, " on ", failed->node, ": ", message);
  context.Record(JobFailed{id, FailureCause{task, message, exit},
                           std::move(reason),
                           ProgressOf(*job, context.runtime)});
}

Progress ProgressOf(const Job& job, const Runtime& runtime) {
  if (IsEnd(job.state)) return job.final_progress;
  Progress progress = runtime.metrics.Newest(job.id);
  // After a restart of the coordinator the store is empty; the state is not.
  for (const Checkpoint& checkpoint : job.checkpoints) {
    progress.step = std::max(progress.step, checkpoint.ref.step);
    for (const auto& [name, value] : checkpoint.values) {
      progress.metrics[absl::StrCat("validation_", name)] = value;
    }
  }
  return progress;
}

}  // namespace tfd::coordinator
