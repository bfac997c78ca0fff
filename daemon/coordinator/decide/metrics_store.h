// The scalars that tasks report, beside the state: not journaled. For each job
// and name the newest value and a bounded series; a job's end takes the newest
// values with it into the journal (Progress).
//
// Event-loop only.
#ifndef TFD_DAEMON_COORDINATOR_DECIDE_METRICS_STORE_H_
#define TFD_DAEMON_COORDINATOR_DECIDE_METRICS_STORE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator {

struct MetricPoint {
  int64_t step = 0;
  double value = 0;
};

// Points of one name. When it is full every second one goes, so it always
// spans the whole job.
class MetricSeries {
 public:
  explicit MetricSeries(size_t max_points) : max_points_(max_points) {}
  // Steps that go back are kept out (a reconnected task says things again).
  void Add(int64_t step, double value);
  const std::vector<MetricPoint>& points() const { return points_; }

 private:
  size_t max_points_;
  // Of so many points that come, one is kept.
  size_t stride_ = 1;
  size_t skipped_ = 0;
  std::vector<MetricPoint> points_;
};

class MetricsStore {
 public:
  // Names per job and points per name; more names are dropped.
  static constexpr size_t kMaxNames = 256;
  static constexpr size_t kMaxPoints = 1024;

  void Add(const std::string& job, int64_t step, double epoch,
           const std::map<std::string, double>& values);
  // The newest values; step 0 where nothing was reported.
  Progress Newest(const std::string& job) const;
  // Null where there is none.
  const MetricSeries* Series(const std::string& job,
                             const std::string& name) const;
  void Forget(const std::string& job) { jobs_.erase(job); }

 private:
  struct JobMetrics {
    Progress newest;
    std::map<std::string, MetricSeries> series;
  };
  std::map<std::string, JobMetrics> jobs_;
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_DECIDE_METRICS_STORE_H_
