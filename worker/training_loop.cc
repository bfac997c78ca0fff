#include "worker/training_loop.h"

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status.h"

namespace tfd::worker {
namespace {

constexpr absl::Duration kReportEvery = absl::Milliseconds(500);

// The finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
uint64_t Mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

}  // namespace

uint64_t StepSeed(uint64_t seed, int64_t epoch, int64_t step, int64_t slot) {
  uint64_t mixed = Mix(seed);
  mixed = Mix(mixed ^ static_cast<uint64_t>(epoch));
  mixed = Mix(mixed ^ static_cast<uint64_t>(step));
  return Mix(mixed ^ static_cast<uint64_t>(slot));
}

absl::StatusOr<int64_t> TrainingLoop::Run() {
  window_.begin = absl::Now();
  const absl::Cleanup forget = [this] { parts_.model->Observe({}); };
  parts_.model->Observe(Events());
  const int64_t first = parts_.exchange->step();
  taken_ = first;
  reported_ = first;
  for (bool more = true; more;) {
    TFD_RETURN_IF_ERROR(parts_.control->status());
    trace_.BeginStep(taken_);
    TFD_ASSIGN_OR_RETURN(const data::Batch* batch, NextBatch());
    if (batch == nullptr) break;
    more = !batch->last;
    TFD_RETURN_IF_ERROR(RunStep(taken_, *batch));
    ++taken_;
    if (taken_ == first + 1) {
      Report();
    } else {
      ReportNowAndThen();
    }
  }
  if (reported_ < taken_) Report();
  return taken_;
}

absl::StatusOr<const data::Batch*> TrainingLoop::NextBatch() {
  const data::Batch* batch = nullptr;
  const absl::Status status = AwaitPatiently(
      *parts_.control, options_.batch_patience, [&](absl::Duration timeout) {
        const auto next = parts_.batches->Next(timeout);
        // Steps are not untold for as long as the data have to be waited for.
        if (!next.ok() && reported_ < taken_) ReportNowAndThen();
        TFD_ASSIGN_OR_RETURN(batch, next);
        return absl::OkStatus();
      });
  if (absl::IsOutOfRange(status)) return nullptr;
  if (absl::IsDeadlineExceeded(status)) {
    // Whoever took this one's place would wait as long, for the same.
    return absl::FailedPreconditionError(status.message());
  }
  TFD_RETURN_IF_ERROR(status);
  return batch;
}

StepEvents TrainingLoop::Events() {
  StepEvents events;
  // A chunk is on its way while backward computes those before it.
  events.gradient_done = [this](size_t tensor) {
    tracker_.Done(tensor, [this](uint32_t chunk) { PushEarly(chunk); });
  };
  events.forward = [this] { trace_.Begin(Activity::kForward); };
  events.backward = [this] { trace_.Begin(Activity::kBackward); };
  return events;
}

absl::Status TrainingLoop::RunStep(int64_t step, const data::Batch& batch) {
  ps::StepInfo info;
  info.step = step;
  info.weight = static_cast<double>(batch.size());
  info.batch = static_cast<uint64_t>(batch.number);
  info.idle = batch.size() == 0;
  info.last = batch.last;
  TFD_RETURN_IF_ERROR(parts_.exchange->BeginStep(info));
  if (!info.idle) {
    TFD_RETURN_IF_ERROR(Annotate(
        Compute(batch), absl::StrCat("step ", step, " (epoch ", batch.epoch,
                                     ", batch ", batch.number, ")")));
    trace_.Begin(Activity::kPush);
    TFD_RETURN_IF_ERROR(
        parts_.exchange->PushAll(parts_.model->gradient().data()));
  }
  trace_.Begin(Activity::kWait);
  const absl::Time begin = absl::Now();
  TFD_RETURN_IF_ERROR(AwaitPatiently(
      *parts_.control, options_.patience, [&](absl::Duration timeout) {
        return parts_.exchange->WaitStep(absl::Now() + timeout);
      }));
  parts_.model->UseVersion(parts_.exchange->version());
  window_.waited += absl::Now() - begin;
  trace_.EndStep();
  return absl::OkStatus();
}

void TrainingLoop::PushEarly(uint32_t chunk) {
  if (!pushed_.ok()) return;
  trace_.Pushed(chunk);
  pushed_ = parts_.exchange->PushChunk(
      chunk, parts_.model->gradient().data() +
                 parts_.exchange->layout().ChunkRange(chunk).begin);
}

absl::Status TrainingLoop::Compute(const data::Batch& batch) {
  tracker_.Reset();
  const Records records = {batch.features(), batch.labels(), batch.size()};
  TFD_ASSIGN_OR_RETURN(
      const Scores scores,
      parts_.model->ComputeGradient(
          records,
          StepSeed(options_.seed, batch.epoch, batch.step, options_.slot),
          options_.batch_size));
  TFD_RETURN_IF_ERROR(pushed_);
  window_.scores += scores;
  return absl::OkStatus();
}

void TrainingLoop::ReportNowAndThen() {
  if (absl::Now() - window_.begin >= kReportEvery) Report();
}

void TrainingLoop::Report() {
  reported_ = taken_;
  const absl::Time now = absl::Now();
  const double seconds = absl::ToDoubleSeconds(now - window_.begin);
  if (parts_.report) {
    v1::Metrics metrics;
    metrics.set_step(taken_);
    if (options_.steps_per_epoch > 0) {
      metrics.set_epoch(static_cast<double>(taken_) /
                        static_cast<double>(options_.steps_per_epoch));
    }
    auto& values = *metrics.mutable_values();
    if (window_.scores.records > 0) {
      values["loss"] = window_.scores.loss();
      values["accuracy"] = window_.scores.accuracy();
    }
    // Since the training began, by this worker.
    const ps::ExchangeStats exchange = parts_.exchange->stats();
    values["exchange_bytes_sent"] = static_cast<double>(exchange.bytes_sent);
    values["exchange_bytes_copied"] =
        static_cast<double>(exchange.bytes_copied);
    if (seconds > 0) {
      values["samples_per_s"] = static_cast<double>(window_.scores.records) *
                                static_cast<double>(options_.slots) / seconds;
      values["exchange_share"] =
          absl::ToDoubleSeconds(window_.waited) / seconds;
    }
    parts_.report(metrics);
  }
  window_ = Window{now, Scores(), absl::ZeroDuration()};
}

}  // namespace tfd::worker
