#include "daemon/coordinator/decide/datasets.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/decide/growth.h"
#include "daemon/coordinator/decide/jobs.h"

namespace tfd::coordinator {
namespace {

constexpr size_t kMaxNameLength = 200;
constexpr size_t kMaxDifferences = 10;
constexpr size_t kMaxNoticeLength = 1000;

// Names become names of folders and files in the spool.
absl::Status CheckName(const char* what, const std::string& name) {
  bool ok = !name.empty() && name.size() <= kMaxNameLength && name != "." &&
            name != "..";
  for (const char c : name) {
    ok = ok && c != '/' && static_cast<unsigned char>(c) >= ' ';
  }
  if (ok) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", name, "\" cannot be the name of a ", what,
                   ": use 1 to ", kMaxNameLength, " characters without '/'"));
}

absl::Status CheckTakesData(const Job& job) {
  if (!IsEnd(job.state)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("job ", job.id, " takes no more data, it has ended: ",
                   JobStateName(job.state), ", ", job.reason));
}

absl::StatusOr<FoundProducer> Find(const Context& context,
                                   const ProducerKey& key) {
  absl::StatusOr<FoundProducer> found = FindProducer(context, key);
  if (!found.ok()) return found;
  const absl::Status takes = CheckTakesData(*found->job);
  return takes.ok() ? found : takes;
}

absl::Status NotBegun(const ProducerKey& key) {
  return absl::FailedPreconditionError(absl::StrCat(
      "producer ", key.producer, " of dataset ", key.dataset,
      " has not begun, or has aborted since: call the action begin first, then "
      "push with new attempts"));
}

absl::Status Complete(const ProducerKey& key) {
  return absl::FailedPreconditionError(
      absl::StrCat("dataset ", key.dataset, " of job ", key.job,
                   " is complete: all its producers have committed"));
}

// What a commit says that was not sealed, and the other way round.
std::vector<std::string> Differences(
    const Producer& producer,
    const std::vector<CommittedPartition>& partitions) {
  std::vector<std::string> differences;
  std::map<std::string, CommittedPartition> said;
  for (const CommittedPartition& partition : partitions) {
    if (!said.emplace(partition.partition, partition).second) {
      differences.push_back(
          absl::StrCat("partition ", partition.partition, " is named twice"));
    }
  }
  for (const auto& [name, partition] : said) {
    const auto sealed = producer.partitions.find(name);
    if (sealed == producer.partitions.end()) {
      differences.push_back(absl::StrCat("partition ", name, " is not sealed"));
    } else if (sealed->second.attempt != partition.attempt) {
      differences.push_back(
          absl::StrCat("partition ", name, " was sealed by attempt ",
                       sealed->second.attempt, ", not by ", partition.attempt));
    } else if (sealed->second.rows != partition.rows) {
      differences.push_back(absl::StrCat("partition ", name, " has ",
                                         sealed->second.rows, " rows, not ",
                                         partition.rows));
    }
  }
  for (const auto& [name, partition] : producer.partitions) {
    if (said.count(name) == 0) {
      differences.push_back(absl::StrCat("partition ", name, " (",
                                         partition.rows,
                                         " rows) is sealed and not named"));
    }
  }
  return differences;
}

// A feed is there for longer than a gang.
absl::Status CheckGeneration(const Job& job, uint64_t generation) {
  for (const Task& task : job.tasks) {
    if (task.role == Role::kFeed && task.generation == generation) {
      return absl::OkStatus();
    }
  }
  return absl::FailedPreconditionError(absl::StrCat("generation ", generation,
                                                    " is stale, job ", job.id,
                                                    " is at ", job.generation));
}

AttemptStanding StandingOf(const Dataset& dataset, const AttemptName& attempt) {
  const auto producer = dataset.producers.find(attempt.producer);
  if (producer == dataset.producers.end()) return AttemptStanding::kVoid;
  const auto& partitions = producer->second.partitions;
  const auto partition = partitions.find(attempt.partition);
  if (partition != partitions.end()) {
    return partition->second.attempt == attempt.attempt &&
                   !IsRetired(dataset, partition->second)
               ? AttemptStanding::kSealed
               : AttemptStanding::kVoid;
  }
  // Of a stream, what is retired is forgotten.
  const bool late =
      producer->second.batch.has_value() &&
      BatchOf(attempt.partition).value_or(0) <= *producer->second.batch;
  return producer->second.committed || late ? AttemptStanding::kVoid
                                            : AttemptStanding::kOpen;
}

bool IsComplete(const Dataset& dataset) {
  for (const auto& [name, producer] : dataset.producers) {
    if (!producer.committed) return false;
  }
  return dataset.producers.size() >=
         static_cast<size_t>(dataset.producers_needed);
}

// What the producer has to commit to: of a stream, what it has not yet.
Producer Uncommitted(const Producer& producer, Growth growth) {
  if (growth != Growth::kStream) return producer;
  Producer rest;
  for (const auto& [name, partition] : producer.partitions) {
    if (partition.segment == 0) rest.partitions[name] = partition;
  }
  return rest;
}

bool HasPublished(const Producer& producer) {
  return std::any_of(
      producer.partitions.begin(), producer.partitions.end(),
      [](const auto& entry) { return entry.second.segment != 0; });
}

}  // namespace

absl::StatusOr<FoundProducer> FindProducer(const Context& context,
                                           const ProducerKey& key) {
  FoundProducer found;
  const absl::StatusOr<const Job*> job = RequireJob(context.state(), key.job);
  if (!job.ok()) return job.status();
  found.job = *job;
  found.dataset = FindDataset(*found.job, key.dataset);
  if (found.dataset == nullptr) {
    const std::string names = absl::StrJoin(
        found.job->datasets, ", ",
        [](std::string* out, const Dataset& d) { out->append(d.name); });
    return absl::NotFoundError(absl::StrCat(
        "job ", key.job, " has no pushed dataset \"", key.dataset, "\"; ",
        names.empty() ? "none of its data is pushed (data.train.format: pushed)"
                      : absl::StrCat("there is: ", names)));
  }
  absl::Status name = CheckName("producer", key.producer);
  if (!name.ok()) return name;
  const auto it = found.dataset->producers.find(key.producer);
  if (it != found.dataset->producers.end()) found.producer = &it->second;
  return found;
}

absl::Status CheckMayCommit(const FoundProducer& found,
                            const ProducerKey& key) {
  const absl::Status takes = CheckTakesData(*found.job);
  if (!takes.ok()) return takes;
  if (found.producer != nullptr) return absl::OkStatus();
  return found.dataset->complete ? Complete(key) : NotBegun(key);
}

absl::Status CheckCommit(const Producer& producer, const ProducerKey& key,
                         const std::vector<CommittedPartition>& partitions) {
  const std::vector<std::string> differences =
      Differences(producer, partitions);
  if (differences.empty()) return absl::OkStatus();
  std::vector<std::string> shown(
      differences.begin(),
      differences.begin() + std::min(differences.size(), kMaxDifferences));
  if (shown.size() < differences.size()) {
    shown.push_back(
        absl::StrCat("and ", differences.size() - shown.size(), " more"));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the commit of producer ", key.producer, " to dataset ", key.dataset,
      " does not fit what was sealed: ", absl::StrJoin(shown, "; ")));
}

absl::Status MaySealPartition(const Context& context, const ProducerKey& key,
                              uint64_t generation, const std::string& partition,
                              const Partition& sealed) {
  const absl::StatusOr<FoundProducer> found = Find(context, key);
  if (!found.ok()) return found.status();
  const absl::Status current = CheckGeneration(*found->job, generation);
  if (!current.ok()) return current;
  absl::Status name = CheckName("partition", partition);
  if (!name.ok()) return name;
  if (sealed.attempt.empty() || sealed.rows < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "partition ", partition, " has no attempt, or ", sealed.rows, " rows"));
  }
  if (found->producer == nullptr) {
    return found->dataset->complete ? Complete(key) : NotBegun(key);
  }
  const auto it = found->producer->partitions.find(partition);
  if (FactsOf(*found->job, *found->dataset).growth == Growth::kStream &&
      (it == found->producer->partitions.end() ||
       it->second.attempt != sealed.attempt)) {
    const absl::Status batch = MaySealBatch(*found->producer, partition);
    if (!batch.ok()) return batch;
  }
  if (it != found->producer->partitions.end()) {
    if (it->second.attempt == sealed.attempt) return absl::OkStatus();
    return absl::AlreadyExistsError(
        absl::StrCat("partition ", partition, " of producer ", key.producer,
                     " is sealed by attempt ", it->second.attempt, " already"));
  }
  if (found->producer->committed) {
    return absl::FailedPreconditionError(
        absl::StrCat("producer ", key.producer,
                     " has committed without partition ", partition));
  }
  return absl::OkStatus();
}

absl::Status SealPartition(const Context& context, const ProducerKey& key,
                           uint64_t generation, const std::string& partition,
                           const Partition& sealed) {
  const absl::Status status =
      MaySealPartition(context, key, generation, partition, sealed);
  if (!status.ok()) return status;
  const absl::StatusOr<FoundProducer> found = Find(context, key);
  if (found->producer->partitions.count(partition) != 0) {
    return absl::OkStatus();  // this attempt has it already
  }
  Partition granted = sealed;
  granted.segment = 0;
  context.Record(PartitionSealed{key.job, key.dataset, key.producer, partition,
                                 std::move(granted)});
  const PushedDataset facts = FactsOf(*found->job, *found->dataset);
  if (facts.growth == Growth::kSeal) {
    // So many that a step is worth it.
    PublishSealed(context, key.job, key.dataset, facts.step_rows);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<AttemptStanding>> ReviewAttempts(
    const Context& context, const std::string& job, uint64_t generation,
    const std::vector<AttemptName>& attempts) {
  const absl::StatusOr<const Job*> found = RequireJob(context.state(), job);
  if (!found.ok()) return found.status();
  absl::Status status = CheckTakesData(**found);
  if (status.ok()) status = CheckGeneration(**found, generation);
  if (!status.ok()) return status;
  std::vector<AttemptStanding> standings;
  standings.reserve(attempts.size());
  for (const AttemptName& attempt : attempts) {
    const Dataset* dataset = FindDataset(**found, attempt.dataset);
    standings.push_back(dataset == nullptr ? AttemptStanding::kVoid
                                           : StandingOf(*dataset, attempt));
  }
  return standings;
}

void TakeSpoolNotice(const Context& context, const Speaker& speaker,
                     const std::string& kind, const std::string& message) {
  const Task* task = nullptr;
  if (Listen(context, speaker, &task) == nullptr || task->role != Role::kFeed ||
      kind.empty()) {
    return;
  }
  context.Record(SpoolNoticed{speaker.job, speaker.task, kind,
                              message.substr(0, kMaxNoticeLength)});
}

absl::Status BeginProducer(const Context& context, const ProducerKey& key) {
  const absl::StatusOr<FoundProducer> found = FindProducer(context, key);
  if (!found.ok()) return found.status();
  if (found->producer != nullptr && found->producer->committed) {
    int64_t rows = 0;
    for (const auto& [name, partition] : found->producer->partitions) {
      rows += partition.rows;
    }
    return absl::AlreadyExistsError(absl::StrCat(
        "producer ", key.producer, " has committed ", rows, " rows to dataset ",
        key.dataset, " of job ", key.job,
        " already: after a retry that is as good as success; to push other "
        "rows choose another name"));
  }
  const absl::Status takes = CheckTakesData(*found->job);
  if (!takes.ok()) return takes;
  if (found->producer != nullptr) return absl::OkStatus();
  if (found->dataset->complete) return Complete(key);
  context.Record(ProducerBegun{key.job, key.dataset, key.producer});
  return absl::OkStatus();
}

absl::Status CommitProducer(const Context& context, const ProducerKey& key,
                            const std::vector<CommittedPartition>& partitions) {
  const absl::StatusOr<FoundProducer> found = FindProducer(context, key);
  if (!found.ok()) return found.status();
  const Growth growth = FactsOf(*found->job, *found->dataset).growth;
  const bool committed =
      found->producer != nullptr && found->producer->committed;
  // The answer to a commit may be lost, and the job done before it is asked
  // for again.
  const absl::Status open =
      committed ? absl::OkStatus() : CheckMayCommit(*found, key);
  if (!open.ok()) return open;
  // Of a stream that has ended, nothing is left to compare with.
  if (committed && growth == Growth::kStream) return absl::OkStatus();
  const absl::Status same =
      CheckCommit(Uncommitted(*found->producer, growth), key, partitions);
  if (!same.ok() || committed) return same;
  context.Record(ProducerCommitted{key.job, key.dataset, key.producer});
  if (growth == Growth::kStream || IsComplete(*found->dataset)) {
    if (growth != Growth::kNone) {
      PublishSealed(context, key.job, key.dataset, /*min_rows=*/0);
    }
  }
  if (IsComplete(*found->dataset)) {
    context.Record(DatasetCompleted{key.job, key.dataset});
  }
  return absl::OkStatus();
}

absl::Status AbortProducer(const Context& context, const ProducerKey& key) {
  const absl::StatusOr<FoundProducer> found = Find(context, key);
  if (!found.ok()) return found.status();
  if (found->producer == nullptr) return absl::OkStatus();
  if (found->producer->committed) {
    return absl::FailedPreconditionError(
        absl::StrCat("producer ", key.producer,
                     " has committed: its rows may be in use already"));
  }
  const bool in_use =
      HasPublished(*found->producer) &&
      FactsOf(*found->job, *found->dataset).growth == Growth::kSeal;
  context.Record(ProducerAborted{key.job, key.dataset, key.producer});
  if (in_use) {
    FailJob(context, key.job, "",
            absl::StrCat("producer ", key.producer, " of dataset ", key.dataset,
                         " has aborted after rows of it were trained on "
                         "(publish: seal); use publish: commit where that "
                         "happens"),
            std::nullopt);
  }
  return absl::OkStatus();
}

}  // namespace tfd::coordinator
