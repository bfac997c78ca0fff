// What clients may read: jobs and nodes as they were when last durable. The
// loop publishes, handlers read and watch.
#ifndef TFD_DAEMON_COORDINATOR_LOOP_BOARD_H_
#define TFD_DAEMON_COORDINATOR_LOOP_BOARD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tfd/v1/coordinator.pb.h"
#include "tfd/v1/job.pb.h"

namespace tfd::coordinator {

using JobSnapshot = std::shared_ptr<const v1::Job>;
using NodesSnapshot = std::shared_ptr<const v1::ListNodesResponse>;

// Is told of one job's changes. Both are called on the loop's thread, without
// locks held, and must not block.
class JobWatcher {
 public:
  virtual ~JobWatcher() = default;
  virtual void OnJob(const JobSnapshot& job) = 0;
  virtual void OnTick(absl::Time now) = 0;
};

// Thread-safe. Snapshots are shared because readers outlive a publication.
class Board {
 public:
  // `order` is the job's place among all, by its submission.
  void PublishJob(uint64_t order, const JobSnapshot& job);
  void PublishNodes(NodesSnapshot nodes);
  void Tick(absl::Time now);

  // Null where there is none.
  JobSnapshot FindJob(const std::string& id) const;
  // Newest first.
  std::vector<JobSnapshot> ListJobs() const;
  NodesSnapshot nodes() const;

  // Until the watcher is gone. It is not told the present state.
  void Watch(const std::string& id, std::weak_ptr<JobWatcher> watcher);

 private:
  std::vector<std::shared_ptr<JobWatcher>> LivingWatchers(
      const std::string& id);

  mutable absl::Mutex mutex_;
  std::map<std::string, JobSnapshot> jobs_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, std::string> order_ ABSL_GUARDED_BY(mutex_);
  NodesSnapshot nodes_ ABSL_GUARDED_BY(mutex_) =
      std::make_shared<v1::ListNodesResponse>();
  std::map<std::string, std::vector<std::weak_ptr<JobWatcher>>> watchers_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_LOOP_BOARD_H_
