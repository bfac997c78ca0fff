// Apply: pushed data.
#include "absl/strings/str_cat.h"
#include "daemon/coordinator/core/apply_internal.h"

namespace tfd::coordinator::internal {

Dataset* Applier::FindOpenDataset(const std::string& job_id,
                                  const std::string& name) {
  Job* job = FindLiveJob(job_id);
  if (job == nullptr) return nullptr;
  for (Dataset& dataset : job->datasets) {
    if (dataset.name != name) continue;
    if (!dataset.complete) return &dataset;
    Violation(absl::StrCat("dataset ", name, " is complete"));
    return nullptr;
  }
  Violation(absl::StrCat("job ", job_id, " has no pushed dataset ", name));
  return nullptr;
}

bool Applier::On(const ProducerBegun& event) {
  Dataset* dataset = FindOpenDataset(event.job, event.dataset);
  if (dataset == nullptr) return false;
  dataset->producers[event.producer];
  return true;
}

bool Applier::On(const PartitionSealed& event) {
  Dataset* dataset = FindOpenDataset(event.job, event.dataset);
  if (dataset == nullptr) return false;
  Producer& producer = dataset->producers[event.producer];
  if (producer.committed) {
    return Violation(
        absl::StrCat("producer ", event.producer, " has committed"));
  }
  if (!producer.partitions.emplace(event.name, event.partition).second) {
    return Violation(absl::StrCat("partition ", event.name, " is sealed"));
  }
  return true;
}

bool Applier::On(const ProducerCommitted& event) {
  Dataset* dataset = FindOpenDataset(event.job, event.dataset);
  if (dataset == nullptr) return false;
  dataset->producers[event.producer].committed = true;
  return true;
}

bool Applier::On(const ProducerAborted& event) {
  Dataset* dataset = FindOpenDataset(event.job, event.dataset);
  if (dataset == nullptr) return false;
  const auto it = dataset->producers.find(event.producer);
  if (it == dataset->producers.end() || it->second.committed) {
    return Violation(
        absl::StrCat("producer ", event.producer, " has nothing to drop"));
  }
  dataset->producers.erase(it);
  Emit(SendProducerAborted{event.job, event.dataset, event.producer});
  return true;
}

bool Applier::On(const DatasetCompleted& event) {
  Dataset* dataset = FindOpenDataset(event.job, event.dataset);
  if (dataset == nullptr) return false;
  size_t committed = 0;
  for (const auto& [name, producer] : dataset->producers) {
    committed += producer.committed ? 1 : 0;
  }
  if (committed < dataset->producers.size() ||
      committed < static_cast<size_t>(dataset->producers_needed)) {
    return Violation(
        absl::StrCat("dataset ", event.dataset, " waits for producers"));
  }
  dataset->complete = true;
  Emit(SendDataset{event.job, event.dataset});
  return true;
}

bool Applier::On(const SpoolNoticed& event) {
  Job* job = FindLiveJob(event.job);
  return job != nullptr && FindMutableTask(*job, event.task) != nullptr;
}

}  // namespace tfd::coordinator::internal
