// What can happen to the coordinator's state: facts, and decisions that were
// taken before they are written (so a replay decides nothing again). Times, ids
// and secrets come in inside the event.
//
// Each is stored in the journal: fields are added, never reinterpreted
// (journal/event_codec.h). Visited without a default, so that a new one does
// not compile until it is handled everywhere.
#ifndef TFD_DAEMON_COORDINATOR_CORE_EVENT_H_
#define TFD_DAEMON_COORDINATOR_CORE_EVENT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator {

// ---- Jobs.

struct JobSubmitted {
  std::string job;
  std::string owner;
  std::string spec;
  JobFacts facts;
  std::string token;
  std::string feed_token;
};

// It may be placed from now on.
struct JobQueued {
  std::string job;
};

struct Placement {
  Role role = Role::kWorker;
  int number = 0;
  std::string node;
  Resources resources;
};

// Every task of the gang has a node.
struct GangPlaced {
  std::string job;
  uint64_t generation = 0;
  std::vector<Placement> placements;
  // The policy's, in words.
  std::string reason;
};

// Every task of the generation has said hello.
struct GangStarted {
  std::string job;
  std::optional<CheckpointRef> restore;
};

// All its tasks but the feeds are stopped; once they are, it is placed again
// and goes on from its newest checkpoint.
struct JobRestarted {
  std::string job;
  // The first that failed.
  std::string task;
  // Counts against restart.max_failures.
  bool counted = false;
  // Not before.
  absl::Time at;
  std::string reason;
};

struct JobSucceeded {
  std::string job;
  std::string reason;
  Progress progress;
};

struct JobFailed {
  std::string job;
  FailureCause cause;
  std::string reason;
  Progress progress;
};

struct JobCancelled {
  std::string job;
  std::string reason;
  Progress progress;
};

// ---- Tasks.

// Its agent has started its process.
struct TaskStarted {
  std::string job;
  std::string task;
  int64_t pid = 0;
};

// Its process has said hello.
struct TaskAttached {
  std::string job;
  std::string task;
  uint64_t incarnation = 0;
  int64_t pid = 0;
  Endpoint endpoint;
  std::optional<CheckpointRef> restore;
};

// Its process has ended. `failed` is the verdict: a task that was told to stop,
// or is done, ends well. The state of a task that had ended for its job
// already stays.
struct TaskExited {
  std::string job;
  std::string task;
  ExitCause exit;
  bool failed = false;
  std::string reason;
};

// It is given up though nobody saw its process end.
struct TaskGivenUp {
  std::string job;
  std::string task;
  // Its node is gone (LOST), else it FAILED.
  bool lost = false;
  std::string reason;
};

// It has ended badly, and another process is to take its place while the others
// go on.
struct TaskToBeReplaced {
  std::string job;
  std::string task;
  bool counted = false;
  // Not before.
  absl::Time at;
  std::string reason;
};

// That process has a node.
struct TaskReplaced {
  std::string job;
  uint64_t generation = 0;
  Placement placement;
};

// Nobody expects its process to exist any longer; its resources are free.
struct TaskReleased {
  std::string job;
  std::string task;
  std::string reason;
};

// ---- Training.

struct PlanAnnounced {
  std::string job;
  TrainingPlan plan;
};

struct TrainingFinished {
  std::string job;
  std::string task;
  int64_t step = 0;
};

struct CheckpointCommitted {
  std::string job;
  CheckpointRef checkpoint;
};

// Retention: these may be deleted.
struct CheckpointsRetired {
  std::string job;
  std::vector<int64_t> steps;
};

struct EvaluationStarted {
  std::string job;
  int64_t step = 0;
};

struct CheckpointEvaluated {
  std::string job;
  int64_t step = 0;
  std::map<std::string, double> values;
};

struct ExportStarted {
  std::string job;
  int64_t step = 0;
  std::string reason;
};

struct ExportWritten {
  std::string job;
  int64_t step = 0;
  std::string uri;
};

// ---- Pushed data.

struct ProducerBegun {
  std::string job;
  std::string dataset;
  std::string producer;
};

// This attempt is the partition's one.
struct PartitionSealed {
  std::string job;
  std::string dataset;
  std::string producer;
  std::string name;
  Partition partition;
};

struct ProducerCommitted {
  std::string job;
  std::string dataset;
  std::string producer;
};

// Of a stream; what was published of it, was so before. The rest is dropped.
struct BatchCommitted {
  std::string job;
  std::string dataset;
  std::string producer;
  int64_t batch = 0;
};

struct PartitionName {
  std::string producer;
  std::string partition;
};

// The next segment of a dataset that grows.
struct SegmentPublished {
  std::string job;
  std::string dataset;
  std::vector<PartitionName> partitions;
};

// Every worker is past this segment and those before it, and so is a
// checkpoint.
struct SegmentsRetired {
  std::string job;
  std::string dataset;
  int64_t through = 0;
};

// All that the producer has sent is dropped, but for what is published.
struct ProducerAborted {
  std::string job;
  std::string dataset;
  std::string producer;
};

struct DatasetCompleted {
  std::string job;
  std::string dataset;
};

// A feed has said something of its spool that a person should know. It decides
// nothing.
struct SpoolNoticed {
  std::string job;
  std::string task;
  // As the job's events name it.
  std::string kind;
  std::string message;
};

// ---- Nodes.

// A new agent, or one with other properties.
struct NodeRegistered {
  std::string node;
  std::string incarnation;
  Resources offered;
  Endpoint endpoint;
  std::string log_token;
  std::string version;
};

struct NodeLost {
  std::string node;
  std::string reason;
};

using EventBody = std::variant<
    JobSubmitted, JobQueued, GangPlaced, GangStarted, JobRestarted,
    JobSucceeded, JobFailed, JobCancelled, TaskStarted, TaskAttached,
    TaskExited, TaskGivenUp, TaskToBeReplaced, TaskReplaced, TaskReleased,
    PlanAnnounced, TrainingFinished, CheckpointCommitted, CheckpointsRetired,
    EvaluationStarted, CheckpointEvaluated, ExportStarted, ExportWritten,
    ProducerBegun, PartitionSealed, ProducerCommitted, BatchCommitted,
    SegmentPublished, SegmentsRetired, ProducerAborted, DatasetCompleted,
    SpoolNoticed, NodeRegistered, NodeLost>;

struct Event {
  absl::Time time;
  EventBody body;
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CORE_EVENT_H_
