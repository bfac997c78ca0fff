#include "daemon/coordinator/loop/board.h"

#include <algorithm>
#include <utility>

namespace tfd::coordinator {

void Board::PublishJob(uint64_t order, const JobSnapshot& job) {
  const std::string& id = job->id();
  {
    absl::MutexLock lock(&mutex_);
    jobs_[id] = job;
    order_[order] = id;
  }
  for (const auto& watcher : LivingWatchers(id)) watcher->OnJob(job);
}

void Board::PublishNodes(NodesSnapshot nodes) {
  absl::MutexLock lock(&mutex_);
  nodes_ = std::move(nodes);
}

void Board::Tick(absl::Time now) {
  std::vector<std::string> ids;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, watchers] : watchers_) ids.push_back(id);
  }
  for (const std::string& id : ids) {
    for (const auto& watcher : LivingWatchers(id)) watcher->OnTick(now);
  }
}

JobSnapshot Board::FindJob(const std::string& id) const {
  absl::MutexLock lock(&mutex_);
  const auto it = jobs_.find(id);
  return it == jobs_.end() ? nullptr : it->second;
}

std::vector<JobSnapshot> Board::ListJobs() const {
  std::vector<JobSnapshot> jobs;
  absl::MutexLock lock(&mutex_);
  for (auto it = order_.rbegin(); it != order_.rend(); ++it) {
    jobs.push_back(jobs_.at(it->second));
  }
  return jobs;
}

NodesSnapshot Board::nodes() const {
  absl::MutexLock lock(&mutex_);
  return nodes_;
}

void Board::Watch(const std::string& id, std::weak_ptr<JobWatcher> watcher) {
  absl::MutexLock lock(&mutex_);
  watchers_[id].push_back(std::move(watcher));
}

std::vector<std::shared_ptr<JobWatcher>> Board::LivingWatchers(
    const std::string& id) {
  std::vector<std::shared_ptr<JobWatcher>> living;
  absl::MutexLock lock(&mutex_);
  const auto it = watchers_.find(id);
  if (it == watchers_.end()) return living;
  auto& watchers = it->second;
  for (const auto& watcher : watchers) {
    if (auto alive = watcher.lock()) living.push_back(std::move(alive));
  }
  watchers.erase(std::remove_if(watchers.begin(), watchers.end(),
                                [](const auto& w) { return w.expired(); }),
                 watchers.end());
  if (watchers.empty()) watchers_.erase(it);
  return living;
}

}  // namespace tfd::coordinator
