#include "daemon/coordinator/codec/link_codec.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/version.h"
#include "daemon/coordinator/codec/value_codec.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/core/views.h"

namespace tfd::coordinator {
namespace {

constexpr size_t kMaxNodeName = 253;
// Beyond what an agent keeps; a longer tail is cut, from its front.
constexpr int kMaxLastLines = 100;
constexpr size_t kMaxLineBytes = 4096;

absl::Status CheckVersion(uint32_t version, const std::string& who) {
  if (version == kProtocolVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      who, " speaks protocol version ", version, ", this tfd-coordinator (",
      kVersion, ") speaks ", kProtocolVersion,
      ": install the same version of tfd on all nodes"));
}

v1::TaskLaunch::Program ProgramOf(Role role) {
  switch (role) {
    case Role::kPs:
      return v1::TaskLaunch::PS;
    case Role::kWorker:
    case Role::kEvaluator:
      return v1::TaskLaunch::WORKER;
    case Role::kFeed:
      return v1::TaskLaunch::FEED;
  }
  return v1::TaskLaunch::PROGRAM_UNSPECIFIED;
}

v1::ExitCause Bounded(v1::ExitCause exit) {
  const int excess = exit.last_lines_size() - kMaxLastLines;
  if (excess > 0) exit.mutable_last_lines()->DeleteSubrange(0, excess);
  for (std::string& line : *exit.mutable_last_lines()) {
    if (line.size() > kMaxLineBytes) line.resize(kMaxLineBytes);
  }
  return exit;
}

}  // namespace

absl::StatusOr<AgentFacts> DecodeHello(const v1::AgentHello& hello) {
  const absl::Status version = CheckVersion(
      hello.protocol_version(), absl::StrCat("the agent of ", hello.node()));
  if (!version.ok()) return version;
  bool name_is_good =
      !hello.node().empty() && hello.node().size() <= kMaxNodeName;
  for (const char c : hello.node()) {
    name_is_good = name_is_good &&
                   absl::ascii_isgraph(static_cast<unsigned char>(c)) &&
                   c != '/';
  }
  if (!name_is_good) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", hello.node(),
                     "\" cannot be a node's name: use letters, digits, '-' and "
                     "'.' (tfd-agent --node NAME)"));
  }
  if (hello.incarnation().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the hello of ", hello.node(), " has no incarnation"));
  }
  AgentFacts facts;
  facts.node = hello.node();
  facts.incarnation = hello.incarnation();
  facts.offered = Decode(hello.offered());
  facts.endpoint = Decode(hello.endpoint());
  facts.log_token = hello.log_token();
  facts.version = hello.version();
  for (const v1::TaskReport& report : hello.tasks()) {
    facts.tasks.push_back(Decode(report));
  }
  return facts;
}

absl::StatusOr<TaskFacts> DecodeHello(const v1::TaskHello& hello) {
  const absl::Status version =
      CheckVersion(hello.protocol_version(),
                   absl::StrCat("task ", hello.task(), " of ", hello.job()));
  if (!version.ok()) return version;
  TaskFacts facts;
  facts.job = hello.job();
  facts.task = hello.task();
  facts.generation = hello.generation();
  facts.incarnation = hello.incarnation();
  facts.pid = hello.pid();
  facts.endpoint = Decode(hello.endpoint());
  // An empty message means that there is none.
  if (hello.has_restore() && !hello.restore().uri().empty()) {
    facts.restore = Decode(hello.restore());
  }
  return facts;
}

ProcessReport Decode(const v1::TaskReport& report) {
  ProcessReport decoded;
  decoded.job = report.job();
  decoded.task = report.task();
  decoded.generation = report.generation();
  decoded.pid = report.pid();
  if (report.phase() == v1::TaskReport::ENDED) {
    decoded.exit = Decode(Bounded(report.exit()));
    decoded.ended_at_ms = report.ended_at_ms();
  }
  return decoded;
}

ShardFile Decode(const v1::ShardFile& file) {
  return {file.shard(), file.file(), file.size_bytes(), file.crc32c()};
}

v1::DesiredState EncodeDesired(const State& state, const std::string& node) {
  v1::DesiredState desired;
  for (const auto& [job, task] : DesiredOn(state, node)) {
    v1::TaskLaunch* launch = desired.add_tasks();
    launch->set_job(job->id);
    launch->set_task(TaskName(*task));
    launch->set_generation(task->generation);
    launch->set_program(ProgramOf(task->role));
    launch->set_spec(job->spec);
    launch->set_token(job->token);
    if (task->role == Role::kFeed || job->facts.purpose == Purpose::kServe) {
      launch->set_feed_token(job->feed_token);
    }
    *launch->mutable_resources() = Encode(task->resources);
  }
  return desired;
}

v1::DatasetReady EncodeReady(const Dataset& dataset) {
  v1::DatasetReady ready;
  ready.set_dataset(dataset.name);
  ready.set_segments(dataset.segments);
  // What a dataset that grows has, was in its segments.
  if (dataset.segments > 0) return ready;
  for (const auto& [producer_name, producer] : dataset.producers) {
    for (const auto& [name, partition] : producer.partitions) {
      *ready.add_partitions() = Encode(producer_name, name, partition);
    }
  }
  return ready;
}

v1::Segment EncodeSegment(const Dataset& dataset, int64_t number) {
  v1::Segment segment;
  segment.set_dataset(dataset.name);
  segment.set_number(number);
  for (const auto& [producer_name, producer] : dataset.producers) {
    for (const auto& [name, partition] : producer.partitions) {
      if (partition.segment == number) {
        *segment.add_partitions() = Encode(producer_name, name, partition);
      }
    }
  }
  return segment;
}

v1::TaskCommand EncodeMembership(const Job& job) {
  v1::TaskCommand command;
  v1::Membership* membership = command.mutable_membership();
  membership->set_generation(job.gang);
  for (const Task& task : job.tasks) {
    v1::Member* member = membership->add_members();
    member->set_task(TaskName(task));
    *member->mutable_endpoint() = Encode(task.endpoint);
    member->set_incarnation(task.incarnation);
  }
  if (job.restore) *membership->mutable_restore() = Encode(*job.restore);
  for (const Dataset& dataset : job.datasets) {
    if (FactsOf(job, dataset).growth != Growth::kNone) {
      v1::GrowthCursor* cursor = membership->mutable_growth();
      cursor->set_segment(dataset.retired_segments + 1);
      cursor->set_step(FirstStepOf(job, dataset));
      cursor->set_records(dataset.retired_rows);
    }
    for (int64_t number = dataset.retired_segments + 1;
         number <= dataset.segments; ++number) {
      *membership->add_segments() = EncodeSegment(dataset, number);
    }
    if (dataset.complete) *membership->add_datasets() = EncodeReady(dataset);
  }
  return command;
}

v1::TaskCommand EncodeDatasetCommand(const Dataset& dataset) {
  v1::TaskCommand command;
  *command.mutable_dataset() = EncodeReady(dataset);
  return command;
}

v1::TaskCommand EncodeCommitted(const Job& job) {
  v1::TaskCommand command;
  v1::CommittedCheckpoints* committed = command.mutable_committed();
  for (const Checkpoint& checkpoint : job.checkpoints) {
    *committed->add_checkpoints() = Encode(checkpoint.ref);
  }
  for (const CheckpointRef& retired : job.retired) {
    *committed->add_deleted() = Encode(retired);
  }
  return command;
}

v1::TaskCommand EncodeWriteManifest(
    int64_t step, const std::map<uint32_t, ShardFile>& shards) {
  v1::TaskCommand command;
  v1::WriteManifest* write = command.mutable_write_manifest();
  write->set_step(step);
  for (const auto& [number, shard] : shards) {
    v1::ShardFile* file = write->add_shards();
    file->set_shard(shard.shard);
    file->set_file(shard.file);
    file->set_size_bytes(shard.size_bytes);
    file->set_crc32c(shard.crc32c);
  }
  return command;
}

v1::TaskCommand EncodeEvaluate(const Job& job) {
  v1::TaskCommand command;
  const Checkpoint* checkpoint =
      FindCheckpoint(job, job.evaluating.value_or(-1));
  if (checkpoint == nullptr) return command;
  *command.mutable_evaluate()->mutable_checkpoint() = Encode(checkpoint->ref);
  return command;
}

v1::TaskCommand EncodeExport(const Job& job) {
  v1::TaskCommand command;
  const Checkpoint* checkpoint =
      FindCheckpoint(job, job.exporting.value_or(-1));
  if (checkpoint == nullptr) return command;
  *command.mutable_export_()->mutable_checkpoint() = Encode(checkpoint->ref);
  for (const auto& [name, value] : checkpoint->values) {
    (*command.mutable_export_()
          ->mutable_metrics())[absl::StrCat("validation_", name)] = value;
  }
  return command;
}

std::vector<AttemptName> Decode(const v1::ReviewAttemptsRequest& request) {
  std::vector<AttemptName> attempts;
  attempts.reserve(static_cast<size_t>(request.attempts_size()));
  for (const v1::Attempt& attempt : request.attempts()) {
    attempts.push_back({attempt.dataset(), attempt.producer(),
                        attempt.partition(), attempt.attempt()});
  }
  return attempts;
}

v1::ReviewAttemptsResponse::Standing Encode(AttemptStanding standing) {
  switch (standing) {
    case AttemptStanding::kSealed:
      return v1::ReviewAttemptsResponse::SEALED;
    case AttemptStanding::kOpen:
      return v1::ReviewAttemptsResponse::OPEN;
    case AttemptStanding::kVoid:
      return v1::ReviewAttemptsResponse::VOID;
  }
  return v1::ReviewAttemptsResponse::STANDING_UNSPECIFIED;
}

std::string KindOf(const v1::SpoolNotice& notice) {
  switch (notice.kind()) {
    case v1::SpoolNotice::DATA_DROPPED:
      return "UnsealedDataDropped";
    case v1::SpoolNotice::DISK_FULL:
      return "SpoolDiskFull";
    case v1::SpoolNotice::DISK_HAS_ROOM:
      return "SpoolDiskHasRoom";
    default:
      return "";
  }
}

}  // namespace tfd::coordinator
