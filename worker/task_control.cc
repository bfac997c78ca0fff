#include "worker/task_control.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/units.h"
#include "spdlog/spdlog.h"

namespace tfd::worker {
namespace {

// How long one wait goes on before the task looks whether it must end.
constexpr absl::Duration kSlice = absl::Milliseconds(200);
constexpr absl::Duration kSayAfter = absl::Seconds(10);

}  // namespace

void TaskControl::OnCommand(const v1::TaskCommand& command) {
  absl::MutexLock lock(&mutex_);
  switch (command.command_case()) {
    case v1::TaskCommand::kMembership:
      membership_ = command.membership();
      for (const v1::DatasetReady& ready : membership_->datasets()) {
        datasets_[ready.dataset()] = ready;
      }
      for (const v1::Segment& segment : membership_->segments()) {
        AddSegment(segment);
      }
      // Its copy is not needed.
      membership_->clear_segments();
      break;
    case v1::TaskCommand::kSegment:
      AddSegment(command.segment());
      break;
    case v1::TaskCommand::kDataset:
      datasets_[command.dataset().dataset()] = command.dataset();
      break;
    case v1::TaskCommand::kEvaluate:
      AddAssignment(command.evaluate());
      break;
    case v1::TaskCommand::kExport:
      AddAssignment(command.export_());
      break;
    default:
      // For parameter servers, or of a newer coordinator.
      break;
  }
}

void TaskControl::AddSegment(const v1::Segment& segment) {
  Segments& segments = segments_[segment.dataset()];
  if (segment.number() < segments.wanted) return;
  segments.there[segment.number()] = segment;
}

void TaskControl::AddAssignment(Assignment assignment) {
  if (assignments_.size() >= kMaxAssignments) {
    spdlog::warn("dropping an assignment: {} are waiting already",
                 assignments_.size());
    return;
  }
  assignments_.push_back(std::move(assignment));
}

void TaskControl::End(const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  if (status_.ok()) status_ = status;
}

absl::Status TaskControl::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

absl::StatusOr<v1::Membership> TaskControl::AwaitMembership(
    absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const auto there = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !status_.ok() || membership_.has_value();
  };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&there), timeout)) {
    return absl::DeadlineExceededError(absl::StrCat(
        "the coordinator has not said within ", tfd::FormatDuration(timeout),
        " that all tasks of the job are there"));
  }
  if (!status_.ok()) return status_;
  return *membership_;
}

absl::StatusOr<v1::DatasetReady> TaskControl::AwaitDataset(
    const std::string& name, absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const auto there = [this, &name]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !status_.ok() || datasets_.count(name) > 0;
  };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&there), timeout)) {
    return absl::DeadlineExceededError(
        absl::StrCat("the pushed dataset ", name, " was not complete within ",
                     tfd::FormatDuration(timeout),
                     ": its producers have not committed all of "
                     "it; data.",
                     name, ".timeout sets how long to wait"));
  }
  if (!status_.ok()) return status_;
  return datasets_[name];
}

absl::StatusOr<std::optional<v1::Segment>> TaskControl::AwaitSegment(
    const std::string& dataset, int64_t number, absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  Segments& segments = segments_[dataset];
  segments.wanted = number;
  segments.there.erase(segments.there.begin(),
                       segments.there.lower_bound(number));
  const auto there = [this, &segments]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !status_.ok() || !segments.there.empty();
  };
  const auto ended = [this, &dataset,
                      number]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    const auto ready = datasets_.find(dataset);
    return ready != datasets_.end() && ready->second.segments() < number;
  };
  const auto has_news = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return there() || ended();
  };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&has_news), timeout)) {
    return absl::DeadlineExceededError(absl::StrCat(
        "its producers have not published segment ", number,
        " of the pushed dataset ", dataset, ", nor ended it; data.", dataset,
        ".timeout sets how long to wait"));
  }
  if (!status_.ok()) return status_;
  if (segments.there.empty()) return std::nullopt;
  if (segments.there.begin()->first != number) {
    return absl::FailedPreconditionError(
        absl::StrCat("segment ", number, " of the pushed dataset ", dataset,
                     " is not kept any more, the first that is, is ",
                     segments.there.begin()->first,
                     ": this task is behind the newest checkpoint"));
  }
  return segments.there.begin()->second;
}

absl::StatusOr<Assignment> TaskControl::AwaitAssignment() {
  absl::MutexLock lock(&mutex_);
  const auto there = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !status_.ok() || !assignments_.empty();
  };
  mutex_.Await(absl::Condition(&there));
  if (!status_.ok()) return status_;
  Assignment assignment = std::move(assignments_.front());
  assignments_.pop_front();
  return assignment;
}

absl::Status AwaitPatiently(
    const TaskControl& control, absl::Duration patience,
    absl::FunctionRef<absl::Status(absl::Duration)> wait) {
  const absl::Time begin = absl::Now();
  absl::Time say_at = begin + kSayAfter;
  while (true) {
    const absl::Time now = absl::Now();
    const absl::Duration left = begin + patience - now;
    absl::Status status = wait(std::clamp(left, absl::ZeroDuration(), kSlice));
    if (!absl::IsDeadlineExceeded(status)) return status;
    const absl::Status end = control.status();
    if (!end.ok()) return end;
    if (left <= absl::ZeroDuration()) return status;
    if (now >= say_at) {
      spdlog::warn("waiting for {}: {}", tfd::FormatDuration(now - begin),
                   std::string(status.message()));
      say_at = now + kSayAfter;
    }
  }
}

}  // namespace tfd::worker
