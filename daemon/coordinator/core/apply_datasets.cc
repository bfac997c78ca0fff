// Apply: pushed data.
#include <algorithm>
#include <iterator>
#include <optional>

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

bool Applier::On(const BatchCommitted& event) {
  Dataset* dataset = FindOpenDataset(event.job, event.dataset);
  if (dataset == nullptr) return false;
  Producer& producer = dataset->producers[event.producer];
  std::optional<int64_t>& newest = producer.batch;
  if (newest.has_value() && *newest >= event.batch) {
    return Violation(absl::StrCat("producer ", event.producer,
                                  " has committed batch ", *newest,
                                  " already, ", event.batch, " is not newer"));
  }
  newest = event.batch;
  // Those of the batch that were not published with it never are.
  bool dropped = false;
  for (auto it = producer.partitions.begin();
       it != producer.partitions.end();) {
    const bool late =
        it->second.segment == 0 &&
        BatchOf(it->first).value_or(event.batch + 1) <= event.batch;
    dropped = dropped || late;
    it = late ? producer.partitions.erase(it) : std::next(it);
  }
  if (dropped) {
    Emit(SendProducerAborted{event.job, event.dataset, event.producer});
  }
  return true;
}

bool Applier::On(const SegmentPublished& event) {
  Dataset* dataset = FindOpenDataset(event.job, event.dataset);
  if (dataset == nullptr) return false;
  std::vector<Partition*> published;
  for (const PartitionName& name : event.partitions) {
    const auto producer = dataset->producers.find(name.producer);
    if (producer == dataset->producers.end()) {
      return Violation(
          absl::StrCat("producer ", name.producer, " has not begun"));
    }
    const auto partition = producer->second.partitions.find(name.partition);
    if (partition == producer->second.partitions.end() ||
        partition->second.segment != 0) {
      return Violation(absl::StrCat("partition ", name.partition,
                                    " is not sealed, or published already"));
    }
    published.push_back(&partition->second);
  }
  ++dataset->segments;
  for (Partition* partition : published) {
    partition->segment = dataset->segments;
  }
  Emit(SendSegment{event.job, event.dataset, dataset->segments});
  return true;
}

bool Applier::On(const SegmentsRetired& event) {
  Job* job = FindLiveJob(event.job);
  if (job == nullptr) return false;
  for (Dataset& dataset : job->datasets) {
    if (dataset.name == event.dataset) return Retire(*job, dataset, event);
  }
  return Violation(absl::StrCat("there is no dataset ", event.dataset));
}

bool Applier::Retire(const Job& job, Dataset& dataset,
                     const SegmentsRetired& event) {
  if (event.through > dataset.segments) {
    return Violation(absl::StrCat("segment ", event.through, " of dataset ",
                                  dataset.name, " is not published"));
  }
  // Elsewhere a commit is still compared with what was sealed.
  const bool forgets = FactsOf(job, dataset).growth == Growth::kStream;
  dataset.retired_segments = std::max(dataset.retired_segments, event.through);
  dataset.segment_ends.erase(dataset.segment_ends.begin(),
                             dataset.segment_ends.upper_bound(event.through));
  for (auto& [name, producer] : dataset.producers) {
    bool retired = false;
    for (auto it = producer.partitions.begin();
         it != producer.partitions.end();) {
      const bool old = IsRetired(dataset, it->second);
      retired = retired || old;
      if (old && forgets) {
        dataset.retired_rows += it->second.rows;
        it = producer.partitions.erase(it);
      } else {
        ++it;
      }
    }
    if (retired) Emit(SendProducerAborted{event.job, event.dataset, name});
  }
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
  std::map<std::string, Partition>& partitions = it->second.partitions;
  for (auto partition = partitions.begin(); partition != partitions.end();) {
    partition = partition->second.segment == 0 ? partitions.erase(partition)
                                               : std::next(partition);
  }
  // What it has committed of a stream counts; it may go on after that.
  if (partitions.empty() && !it->second.batch.has_value()) {
    dataset->producers.erase(it);
  }
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
