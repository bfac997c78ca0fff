#include "daemon/coordinator/decide/growth.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/decide/jobs.h"

namespace tfd::coordinator {

absl::Status MaySealBatch(const Producer& producer,
                          const std::string& partition) {
  const std::optional<int64_t> batch = BatchOf(partition);
  if (!batch.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "partition ", partition,
        " of a stream does not say of which batch it is: call it BATCH-NAME, "
        "for example 17-0, and commit batch 17 once all of it is sealed"));
  }
  if (!producer.batch.has_value() || *batch > *producer.batch) {
    return absl::OkStatus();
  }
  return absl::AlreadyExistsError(
      absl::StrCat("partition ", partition, " is of batch ", *batch,
                   ", and batch ", *producer.batch,
                   " is committed: after a retry that is as good as success; "
                   "new rows need a "
                   "batch with a higher number"));
}

absl::StatusOr<bool> CommitBatch(
    const Context& context, const ProducerKey& key, int64_t batch,
    const std::vector<CommittedPartition>& partitions) {
  const absl::StatusOr<FoundProducer> found = FindProducer(context, key);
  if (!found.ok()) return found.status();
  if (FactsOf(*found->job, *found->dataset).growth != Growth::kStream) {
    return absl::InvalidArgumentError(absl::StrCat(
        "dataset ", key.dataset, " of job ", key.job,
        " is no stream, so that a commit says no batch: leave it out, or "
        "submit the job with data.",
        key.dataset, ".stream: true"));
  }
  const Producer* producer = found->producer;
  if (producer != nullptr && producer->batch.has_value() &&
      *producer->batch >= batch) {
    return false;
  }
  const absl::Status open = CheckMayCommit(*found, key);
  if (!open.ok()) return open;
  if (producer->committed) {
    return absl::FailedPreconditionError(
        absl::StrCat("producer ", key.producer, " has ended before batch ",
                     batch, ": begin under another name"));
  }
  // What else was sealed for this batch was left by an earlier try, which had
  // other partitions.
  Producer named;
  SegmentPublished published{key.job, key.dataset, {}};
  for (const CommittedPartition& partition : partitions) {
    const auto sealed = producer->partitions.find(partition.partition);
    if (sealed == producer->partitions.end()) continue;
    named.partitions.insert(*sealed);
    published.partitions.push_back({key.producer, partition.partition});
  }
  absl::Status same = CheckCommit(named, key, partitions);
  for (const CommittedPartition& partition : partitions) {
    if (same.ok() && BatchOf(partition.partition) != batch) {
      same = absl::InvalidArgumentError(
          absl::StrCat("partition ", partition.partition, " is not of batch ",
                       batch, ", which is committed"));
    }
  }
  if (!same.ok()) return same;
  if (!published.partitions.empty()) context.Record(std::move(published));
  context.Record(BatchCommitted{key.job, key.dataset, key.producer, batch});
  return true;
}

void PublishSealed(const Context& context, const std::string& job_id,
                   const std::string& dataset_name, int64_t min_rows) {
  const Job* job = FindJob(context.state(), job_id);
  const Dataset* dataset =
      job == nullptr ? nullptr : FindDataset(*job, dataset_name);
  if (dataset == nullptr) return;
  SegmentPublished published{job_id, dataset_name, {}};
  int64_t rows = 0;
  for (const auto& [producer_name, producer] : dataset->producers) {
    for (const auto& [name, partition] : producer.partitions) {
      if (partition.segment != 0) continue;
      published.partitions.push_back({producer_name, name});
      rows += partition.rows;
    }
  }
  if (published.partitions.empty() || rows < min_rows) return;
  context.Record(std::move(published));
}

void RetireSegments(const Context& context, const std::string& id) {
  const Job* job = FindJob(context.state(), id);
  if (job == nullptr || IsEnd(job->state) || job->checkpoints.empty()) return;
  const Dataset* dataset = FindDataset(*job, kTrainingDataset);
  if (dataset == nullptr || !FactsOf(*job, *dataset).read_once) return;
  int64_t through = 0;
  for (const auto& [segment, end] : dataset->segment_ends) {
    if (end <= job->checkpoints.back().ref.step) through = segment;
  }
  if (through <= dataset->retired_segments) return;
  context.Record(SegmentsRetired{id, dataset->name, through});
}

}  // namespace tfd::coordinator
