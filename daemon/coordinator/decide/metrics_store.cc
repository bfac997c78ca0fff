#include "daemon/coordinator/decide/metrics_store.h"

#include <algorithm>

namespace tfd::coordinator {

void MetricSeries::Add(int64_t step, double value) {
  if (!points_.empty() && step <= points_.back().step) return;
  if (++skipped_ < stride_) return;
  skipped_ = 0;
  points_.push_back({step, value});
  if (points_.size() < max_points_) return;
  for (size_t i = 0; 2 * i < points_.size(); ++i) points_[i] = points_[2 * i];
  points_.resize((points_.size() + 1) / 2);
  stride_ *= 2;
}

void MetricsStore::Add(const std::string& job, int64_t step, double epoch,
                       const std::map<std::string, double>& values) {
  JobMetrics& metrics = jobs_[job];
  metrics.newest.step = std::max(metrics.newest.step, step);
  metrics.newest.epoch = std::max(metrics.newest.epoch, epoch);
  for (const auto& [name, value] : values) {
    if (metrics.newest.metrics.count(name) == 0 &&
        metrics.newest.metrics.size() >= kMaxNames) {
      continue;
    }
    metrics.newest.metrics[name] = value;
    metrics.series.try_emplace(name, kMaxPoints).first->second.Add(step, value);
  }
}

Progress MetricsStore::Newest(const std::string& job) const {
  const auto it = jobs_.find(job);
  return it == jobs_.end() ? Progress() : it->second.newest;
}

const MetricSeries* MetricsStore::Series(const std::string& job,
                                         const std::string& name) const {
  const auto it = jobs_.find(job);
  if (it == jobs_.end()) return nullptr;
  const auto series = it->second.series.find(name);
  return series == it->second.series.end() ? nullptr : &series->second;
}

}  // namespace tfd::coordinator
