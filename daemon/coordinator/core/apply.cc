#include "daemon/coordinator/core/apply.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/coordinator/core/apply_internal.h"
#include "daemon/coordinator/core/describe.h"
#include "daemon/coordinator/core/lifecycle.h"

namespace tfd::coordinator {
namespace internal {

bool Applier::Violation(const std::string& what) {
  if (state_.violation.empty()) {
    state_.violation = absl::StrCat("event ", state_.last_index, ": ", what);
  }
  return false;
}

Job* Applier::FindMutableJob(const std::string& id) {
  const auto it = state_.jobs.find(id);
  if (it != state_.jobs.end()) return &it->second;
  Violation(absl::StrCat("there is no job ", id));
  return nullptr;
}

Job* Applier::FindLiveJob(const std::string& id) {
  Job* job = FindMutableJob(id);
  if (job == nullptr || !IsEnd(job->state)) return job;
  Violation(absl::StrCat("job ", id, " has ended: ", JobStateName(job->state)));
  return nullptr;
}

Job* Applier::FindRunningJob(const std::string& id) {
  Job* job = FindLiveJob(id);
  if (job == nullptr || job->state == JobState::kRunning) return job;
  Violation(absl::StrCat("job ", id, " is ", JobStateName(job->state)));
  return nullptr;
}

Task* Applier::FindMutableTask(Job& job, const std::string& name) {
  for (Task& task : job.tasks) {
    if (TaskName(task) == name) return &task;
  }
  Violation(absl::StrCat("job ", job.id, " has no task ", name));
  return nullptr;
}

bool Applier::MoveJob(Job& job, JobState to) {
  if (!IsLegal(job.state, to)) {
    return Violation(absl::StrCat("job ", job.id, " cannot go from ",
                                  JobStateName(job.state), " to ",
                                  JobStateName(to)));
  }
  job.state = to;
  return true;
}

bool Applier::MoveTask(Task& task, TaskState to, const std::string& reason) {
  if (!IsLegal(task.state, to)) {
    return Violation(absl::StrCat("task ", TaskName(task), " cannot go from ",
                                  TaskStateName(task.state), " to ",
                                  TaskStateName(to)));
  }
  task.state = to;
  task.reason = reason;
  return true;
}

void Applier::UpdateActive(const Job& job) {
  bool active = !IsEnd(job.state);
  for (const Task& task : job.tasks) active = active || task.process_alive;
  if (active) {
    state_.active.insert(job.id);
  } else {
    state_.active.erase(job.id);
  }
}

}  // namespace internal

std::vector<Effect> Apply(State& state, const Event& event) {
  ++state.last_index;
  // Described first: the text may need what the event is about to change.
  Description description = Describe(state, event.body);
  internal::Applier applier(state, event.time);
  const bool applied = std::visit(
      [&applier](const auto& body) { return applier.On(body); }, event.body);
  if (!applied) return {};
  std::vector<Effect> effects = applier.TakeEffects();
  const auto job = state.jobs.find(description.job);
  if (job != state.jobs.end()) {
    effects.push_back(PublishJob{job->first});
    std::deque<EventText>& events = job->second.events;
    events.push_back(
        EventText{state.last_index, event.time, std::move(description.task),
                  std::move(description.kind), std::move(description.message)});
    if (events.size() > kMaxEventsPerJob) events.pop_front();
  }
  return effects;
}

}  // namespace tfd::coordinator
