#include "daemon/coordinator/loop/event_loop.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/status.h"
#include "daemon/coordinator/codec/event_codec.h"
#include "daemon/coordinator/codec/state_codec.h"
#include "daemon/coordinator/core/apply.h"
#include "daemon/coordinator/core/invariants.h"
#include "daemon/coordinator/decide/jobs.h"
#include "daemon/coordinator/decide/timers.h"
#include "spdlog/spdlog.h"

namespace tfd::coordinator {
namespace {

// A verdict that may come after its asker has given up waiting.
struct Verdict {
  absl::Notification given;
  absl::Status status;
};

}  // namespace

EventLoop::EventLoop(const LoopOptions& options, Dependencies dependencies)
    : options_(options),
      dependencies_(std::move(dependencies)),
      ledger_(State()) {}

EventLoop::~EventLoop() { Stop(); }

absl::StatusOr<std::string> EventLoop::Start() {
  std::string cluster_id;
  TFD_RETURN_IF_ERROR(Recover(&cluster_id));
  StartJudging(runtime_, options_.terms, dependencies_.clock->Now());
  // What was known before is published before anybody can ask.
  std::vector<Effect> effects = {PublishNodes{}};
  for (const auto& [id, job] : ledger_.state().jobs) {
    effects.push_back(PublishJob{id});
  }
  dependencies_.outlet->Release(
      {ledger_, runtime_, options_.terms, dependencies_.clock->Now()}, effects);
  thread_ = std::thread([this] { Run(); });
  return cluster_id;
}

absl::Status EventLoop::Recover(std::string* cluster_id) {
  TFD_ASSIGN_OR_RETURN(Recovery recovery, dependencies_.journal->Recover());
  State state;
  if (recovery.snapshot_index > 0) {
    TFD_ASSIGN_OR_RETURN(state, DecodeState(recovery.snapshot));
    if (state.last_index != recovery.snapshot_index) {
      return absl::DataLossError(
          absl::StrCat("the snapshot of event ", recovery.snapshot_index,
                       " is of event ", state.last_index));
    }
  }
  for (const std::string& bytes : recovery.events) {
    const absl::StatusOr<Event> event = DecodeEvent(bytes);
    if (!event.ok()) {
      return Annotate(event.status(),
                      absl::StrCat("event ", state.last_index + 1));
    }
    // Effects are not replayed: whoever attaches is told everything.
    Apply(state, *event);
  }
  const absl::Status invariants = CheckInvariants(state);
  if (!invariants.ok()) {
    spdlog::error("the recovered state is not as it should be: {}",
                  std::string(invariants.message()));
  }
  term_ = recovery.term;
  compacted_index_ = recovery.snapshot_index;
  *cluster_id = recovery.cluster_id;
  ledger_ = Ledger(std::move(state));
  return absl::OkStatus();
}

void EventLoop::Stop() {
  std::deque<Work> dropped;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    dropped.swap(queue_);
  }
  if (thread_.joinable()) thread_.join();
}

absl::Status EventLoop::Post(Work work) {
  absl::MutexLock lock(&mutex_);
  if (stopping_) {
    return absl::UnavailableError("the coordinator is stopping");
  }
  if (queue_.size() >= options_.max_queue) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the coordinator has ", queue_.size(),
                     " requests waiting; try again in a moment"));
  }
  queue_.push_back(std::move(work));
  return absl::OkStatus();
}

void EventLoop::PostAlways(Work work) {
  absl::MutexLock lock(&mutex_);
  if (!stopping_) queue_.push_back(std::move(work));
}

void EventLoop::LookAtTimeNow() {
  absl::MutexLock lock(&mutex_);
  look_now_ = true;
}

std::vector<Work> EventLoop::NextBatch(bool* tick_is_due) {
  std::vector<Work> batch;
  absl::MutexLock lock(&mutex_);
  const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || look_now_ || !queue_.empty();
  };
  *tick_is_due =
      !mutex_.AwaitWithTimeout(absl::Condition(&has_work), options_.tick) ||
      look_now_;
  look_now_ = false;
  if (stopping_) return batch;
  const size_t size = std::min(queue_.size(), options_.max_batch);
  std::move(queue_.begin(), queue_.begin() + size, std::back_inserter(batch));
  queue_.erase(queue_.begin(), queue_.begin() + size);
  return batch;
}

void EventLoop::Run() {
  absl::Time next_tick = absl::Now() + options_.tick;
  while (true) {
    bool tick_is_due = false;
    std::vector<Work> batch = NextBatch(&tick_is_due);
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
    }
    // A loop that is never idle looks at the time, too.
    tick_is_due = tick_is_due || absl::Now() >= next_tick;
    if (tick_is_due) next_tick = absl::Now() + options_.tick;
    if (!RunBatch(batch, tick_is_due)) return;
  }
}

bool EventLoop::RunBatch(std::vector<Work>& works, bool tick_is_due) {
  const Context context{ledger_, runtime_, options_.terms,
                        dependencies_.clock->Now()};
  std::vector<Answer> answers;
  answers.reserve(works.size());
  for (Work& work : works) answers.push_back(work(context));
  if (tick_is_due) {
    dependencies_.outlet->CollectHeartbeats(runtime_);
    LookAtTime(context);
  }
  if (ledger_.has_effect_to_review_queue()) PlaceQueued(context);

  const Ledger::Batch batch = ledger_.TakeBatch();
  const absl::Status durable = Commit(batch);
  if (!durable.ok()) {
    spdlog::critical("{}; running tasks go on, the coordinator ends",
                     std::string(durable.message()));
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    dependencies_.on_fatal(durable);
    return false;
  }
  dependencies_.outlet->Release(context, batch.effects);
  for (const Answer& answer : answers) {
    if (answer) answer(context);
  }
  if (tick_is_due) dependencies_.outlet->Tick(context.now);
  ForgetEndedJobs(batch.effects);
  CompactIfDue();
  return true;
}

absl::Status EventLoop::Commit(const Ledger::Batch& batch) {
  if (!ledger_.state().violation.empty() && !violation_logged_) {
    spdlog::error("a decision did not fit the state: {}",
                  ledger_.state().violation);
    violation_logged_ = true;
  }
  if (batch.events.empty()) return absl::OkStatus();
  std::vector<std::string> encoded;
  for (const Event& event : batch.events) {
    encoded.push_back(EncodeEvent(event));
  }
  const auto verdict = std::make_shared<Verdict>();
  dependencies_.journal->Append(term_, batch.previous_index, std::move(encoded),
                                [verdict](absl::Status status) {
                                  verdict->status = std::move(status);
                                  verdict->given.Notify();
                                });
  if (!verdict->given.WaitForNotificationWithTimeout(
          options_.journal_patience)) {
    return absl::DeadlineExceededError(absl::StrCat(
        "the journal did not take ", batch.events.size(), " events within ",
        absl::FormatDuration(options_.journal_patience),
        ": is the state folder's disk there?"));
  }
  return verdict->status;
}

void EventLoop::ForgetEndedJobs(const std::vector<Effect>& effects) {
  for (const Effect& effect : effects) {
    const auto* publish = std::get_if<PublishJob>(&effect);
    if (publish == nullptr) continue;
    if (ledger_.state().active.count(publish->job) > 0) continue;
    runtime_.jobs.erase(publish->job);
    runtime_.metrics.Forget(publish->job);
  }
}

void EventLoop::CompactIfDue() {
  const uint64_t index = ledger_.state().last_index;
  if (index - compacted_index_ < options_.compact_every) return;
  compacted_index_ = index;
  dependencies_.journal->Compact(term_, index, EncodeState(ledger_.state()),
                                 [](const absl::Status& status) {
                                   if (status.ok()) return;
                                   spdlog::warn(
                                       "the journal was not compacted: {}",
                                       std::string(status.message()));
                                 });
}

}  // namespace tfd::coordinator
