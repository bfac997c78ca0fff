#include "ps/schedule.h"

#include <algorithm>
#include <cmath>

namespace tfd::ps {
namespace {

// As torch.optim.lr_scheduler.OneCycleLR has them.
constexpr double kDivFactor = 25;
constexpr double kFinalDivFactor = 1e4;

// Half a cosine from `begin` at 0 to `end` at 1.
double CosineBetween(double begin, double end, double at) {
  return end + (begin - end) / 2 * (1 + std::cos(M_PI * at));
}

double OneCycle(double peak, double peak_at, int64_t step,
                int64_t total_steps) {
  const double first = peak / kDivFactor;
  const double last = first / kFinalDivFactor;
  const double up_ends = peak_at * static_cast<double>(total_steps) - 1;
  const double down_ends = static_cast<double>(total_steps) - 1;
  const auto at = static_cast<double>(step);
  // Trainings of a step or two have no room for a phase.
  if (at <= up_ends && at < down_ends) {
    return CosineBetween(first, peak, up_ends > 0 ? at / up_ends : 1);
  }
  const double length = down_ends - up_ends;
  return CosineBetween(peak, last, length > 0 ? (at - up_ends) / length : 0);
}

}  // namespace

double LearningRate(const v1::OptimizerSpec& optimizer, int64_t step,
                    int64_t total_steps) {
  const v1::ScheduleSpec& schedule = optimizer.schedule();
  const double lr = optimizer.lr();
  const int64_t last = std::max<int64_t>(total_steps - 1, 0);
  step = std::clamp<int64_t>(step, 0, last);
  if (schedule.name() == v1::ScheduleSpec::ONE_CYCLE) {
    return OneCycle(lr, schedule.peak_at(), step, total_steps);
  }
  const int64_t warmup = schedule.warmup_steps();
  if (step < warmup) {
    return lr * static_cast<double>(step + 1) / static_cast<double>(warmup);
  }
  if (schedule.name() == v1::ScheduleSpec::COSINE) {
    return CosineBetween(lr, 0,
                         static_cast<double>(step - warmup) /
                             static_cast<double>(total_steps - warmup));
  }
  return lr;
}

}  // namespace tfd::ps
