#include "worker/step_trace.h"

#include <nlohmann/json.hpp>

#include "absl/time/clock.h"

namespace tfd::worker {
namespace {

// About 60 MB in memory; what comes after is not recorded.
constexpr size_t kMaxSpans = 1 << 20;

// The viewer's rows.
constexpr int kStepRow = 0;
constexpr int kComputeRow = 1;
constexpr int kCopyRow = 2;
// Overlapping spans: chunks on their way.
constexpr int kFlightRow = 3;

const char* NameOf(Activity activity) {
  switch (activity) {
    case Activity::kData:
      return "data";
    case Activity::kForward:
      return "forward";
    case Activity::kBackward:
      return "backward";
    case Activity::kPush:
      return "push";
    case Activity::kWait:
      return "wait";
  }
  return "";
}

nlohmann::ordered_json NameEvent(const char* what, int64_t process, int row,
                                 const std::string& name) {
  return {{"name", what},
          {"ph", "M"},
          {"pid", process},
          {"tid", row},
          {"args", {{"name", name}}}};
}

double Microseconds(absl::Time time) {
  return absl::ToDoubleMicroseconds(time - absl::UnixEpoch());
}

}  // namespace

void StepTrace::BeginStep(int64_t step) {
  if (steps_left_ <= 0) return;
  --steps_left_;
  step_begin_ = absl::Now();
  activity_ = NameOf(Activity::kData);
  activity_begin_ = step_begin_;
  absl::MutexLock lock(&mutex_);
  step_ = step;
  pushed_.clear();
  rest_pushed_ = absl::InfinitePast();
  recording_ = true;
}

void StepTrace::Begin(Activity activity) {
  if (!recording_) return;
  const absl::Time now = absl::Now();
  EndActivity(now);
  activity_ = NameOf(activity);
  activity_begin_ = now;
  if (activity != Activity::kPush) return;
  absl::MutexLock lock(&mutex_);
  rest_pushed_ = now;
}

void StepTrace::EndActivity(absl::Time now) {
  if (activity_ == nullptr) return;
  absl::MutexLock lock(&mutex_);
  Add({activity_, kComputeRow, step_, -1, activity_begin_, now});
  activity_ = nullptr;
}

void StepTrace::EndStep() {
  if (!recording_) return;
  const absl::Time now = absl::Now();
  EndActivity(now);
  absl::MutexLock lock(&mutex_);
  Add({"step", kStepRow, step_, -1, step_begin_, now});
  recording_ = false;
}

void StepTrace::Pushed(uint32_t chunk) {
  if (!recording_) return;
  absl::MutexLock lock(&mutex_);
  if (pushed_.size() <= chunk) {
    pushed_.resize(chunk + 1, absl::InfinitePast());
  }
  pushed_[chunk] = absl::Now();
}

void StepTrace::Arrived(uint32_t chunk) {
  if (!recording_) return;
  absl::MutexLock lock(&mutex_);
  absl::Time pushed = chunk < pushed_.size() ? pushed_[chunk] : rest_pushed_;
  if (pushed == absl::InfinitePast()) pushed = rest_pushed_;
  // An idle worker pushes nothing.
  if (pushed == absl::InfinitePast()) return;
  Add({"chunk", kFlightRow, step_, chunk, pushed, absl::Now()});
}

void StepTrace::Copied(uint32_t chunk, absl::Time begin) {
  if (!recording_) return;
  absl::MutexLock lock(&mutex_);
  Add({"pull", kCopyRow, step_, chunk, begin, absl::Now()});
}

void StepTrace::Add(const Span& span) {
  if (spans_.size() < kMaxSpans) spans_.push_back(span);
}

std::string StepTrace::ToJson(const std::string& process,
                              int64_t number) const {
  nlohmann::ordered_json events = {
      NameEvent("process_name", number, kStepRow, process),
      NameEvent("thread_name", number, kStepRow, "steps"),
      NameEvent("thread_name", number, kComputeRow, "compute"),
      NameEvent("thread_name", number, kCopyRow, "copy"),
      NameEvent("thread_name", number, kFlightRow, "exchange"),
  };
  absl::MutexLock lock(&mutex_);
  for (const Span& span : spans_) {
    nlohmann::ordered_json event = {{"name", span.name},
                                    {"cat", "step"},
                                    {"pid", number},
                                    {"tid", span.row},
                                    {"ts", Microseconds(span.begin)},
                                    {"args", {{"step", span.step}}}};
    if (span.chunk >= 0) event["args"]["chunk"] = span.chunk;
    if (span.row == kFlightRow) {
      // Chunks of a worker overlap: an asynchronous pair for each.
      event["id"] = (number << 32) + span.chunk;
      event["ph"] = "b";
      events.push_back(event);
      event["ph"] = "e";
      event["ts"] = Microseconds(span.end);
    } else {
      event["ph"] = "X";
      event["dur"] = absl::ToDoubleMicroseconds(span.end - span.begin);
    }
    events.push_back(std::move(event));
  }
  return nlohmann::ordered_json({{"traceEvents", std::move(events)}}).dump();
}

}  // namespace tfd::worker
