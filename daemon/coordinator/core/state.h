// What the coordinator knows: jobs with their tasks, checkpoints and datasets,
// and nodes. Plain values, no protobuf; the one protobuf in it is a job's spec,
// kept as the opaque bytes that its tasks get, with the few facts that
// decisions need decoded beside it.
//
// Only Apply changes a State (apply.h). Thread-compatible; in the coordinator
// it belongs to the event loop.
#ifndef TFD_DAEMON_COORDINATOR_CORE_STATE_H_
#define TFD_DAEMON_COORDINATOR_CORE_STATE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace tfd::coordinator {

// Legal transitions are in lifecycle.h.
enum class JobState {
  kSubmitted,
  kQueued,
  kStarting,
  kRunning,
  kRestarting,
  kSucceeded,
  kFailed,
  kCancelled,
};

enum class TaskState {
  kPending,
  kAssigned,
  kStarting,
  kRunning,
  kSucceeded,
  kFailed,
  kLost,
  kCancelled,
};

// In the order in which a job's tasks are listed.
enum class Role { kPs, kWorker, kEvaluator, kFeed };

// Thousandths of a cpu, so that sums are exact.
struct Resources {
  int64_t millicpus = 0;
  uint64_t memory_bytes = 0;
};

struct Endpoint {
  std::string host_id;
  std::string unix_path;
  std::string tcp;
  // Where memory is shared with processes of its host.
  std::string memory_path{};
};

// How a process ended.
struct ExitCause {
  enum class Kind { kExited, kSignaled, kStartFailed, kNodeLost };
  Kind kind = Kind::kExited;
  int code = 0;
  int signal = 0;
  // What the task itself said was wrong.
  std::string message;
  std::vector<std::string> last_lines;
};

struct CheckpointRef {
  int64_t step = 0;
  std::string uri;
  uint32_t manifest_crc32c = 0;
};

// A committed checkpoint and its scores (accuracy, loss, records), once known.
struct Checkpoint {
  CheckpointRef ref;
  bool evaluated = false;
  std::map<std::string, double> values;
};

struct TrainingPlan {
  int64_t total_steps = 0;
  int64_t steps_per_epoch = 0;
  int64_t records = 0;
  int64_t global_batch_size = 0;
  // Of training data that grows: it follows from so many segments, and where it
  // is open there may be more of them.
  int64_t segments = 0;
  bool open = false;
};

// What the tasks of one role need.
struct RoleNeed {
  Role role = Role::kWorker;
  int count = 0;
  Resources each;
};

struct Target {
  std::string metric;
  std::optional<double> at_least;
  std::optional<double> at_most;
};

// When the rows of a pushed dataset become visible to training.
enum class Growth {
  // All at once, when it is complete.
  kNone,
  // From the first sealed partitions on.
  kSeal,
  // With every batch that a producer commits.
  kStream,
};

struct PushedDataset {
  std::string name;
  int producers = 1;
  Growth growth = Growth::kNone;
  // Where it grows: the records of one step of all workers together.
  int64_t step_rows = 1;
  // No epoch follows the first, so that rows a checkpoint is past are not
  // needed any more.
  bool read_once = false;
};

// What the tasks of a job do.
enum class Purpose {
  kTrain,
  // Its workers answer records of files, and end when they are through.
  kPredict,
  // Its workers answer what is pushed to them until the job is cancelled.
  kServe,
};

// What decisions need of a job's spec.
struct JobFacts {
  Purpose purpose = Purpose::kTrain;
  std::string name;
  std::vector<RoleNeed> roles;
  std::vector<PushedDataset> pushed;
  bool has_validation = false;
  std::optional<Target> target;
  // Checkpoints that retention leaves.
  int keep = 1;
  std::string storage;
  // `storage` is a folder that other nodes do not see.
  bool one_node = false;
  // Failures of its own that it survives; with 0 nothing of it is started
  // again, whatever the cause.
  int max_failures = 0;
  // A worker holds nothing that another process could not take up.
  bool replaceable_workers = false;
};

struct Task {
  Role role = Role::kWorker;
  int number = 0;
  TaskState state = TaskState::kPending;
  std::string reason;
  std::string node;
  Resources resources;
  // Of its process: the job's when that was placed.
  uint64_t generation = 0;
  absl::Time placed_at;
  // Its process may exist: it keeps its resources, and logs are where it was.
  bool process_alive = false;
  // Drawn by its process; 0 before its hello.
  uint64_t incarnation = 0;
  int64_t pid = 0;
  Endpoint endpoint;
  // A worker has taken all its steps.
  bool training_done = false;
  std::optional<ExitCause> exit;
  // It has ended badly, and another process takes its place from then on.
  std::optional<absl::Time> replace_at;
};

struct FailureCause {
  std::string task;
  std::string message;
  std::optional<ExitCause> exit;
};

struct Partition {
  std::string attempt;
  int64_t rows = 0;
  uint32_t crc32c = 0;
  std::string feed;
  std::string path;
  // Where the dataset grows: what it was published in; 0 before.
  int64_t segment = 0;
};

struct Producer {
  bool committed = false;
  // Of a stream: the newest batch that was committed.
  std::optional<int64_t> batch;
  // By name: (producer, partition) is the order of the records.
  std::map<std::string, Partition> partitions;
};

// The dataset that models learn from.
inline constexpr char kTrainingDataset[] = "train";

struct Dataset {
  std::string name;
  int producers_needed = 1;
  bool complete = false;
  std::map<std::string, Producer> producers;
  // Where it grows: segments 1 to `segments` are published, and nobody needs
  // those up to `retired_segments` any more. A stream forgets their partitions;
  // so many rows were in those.
  int64_t segments = 0;
  int64_t retired_segments = 0;
  int64_t retired_rows = 0;
  // Segment → the steps that are taken when it is through, as far as known.
  std::map<int64_t, int64_t> segment_ends;
};

// What people and `tfd events` read.
struct EventText {
  uint64_t sequence = 0;
  absl::Time time;
  std::string task;
  std::string kind;
  std::string message;
};

// Newest events kept for one job.
inline constexpr size_t kMaxEventsPerJob = 1000;
// Retired checkpoints still named to ps/0 after a reconnect, newest kept.
inline constexpr size_t kMaxRetiredCheckpoints = 16;

// The newest scalars of a job that has ended (while it runs they are not
// journaled, see metrics_store.h).
struct Progress {
  int64_t step = 0;
  double epoch = 0;
  std::map<std::string, double> metrics;
};

struct Job {
  std::string id;
  std::string owner;
  // Serialized tfd.v1.JobSpec with defaults.
  std::string spec;
  JobFacts facts;
  // Secrets: what its tasks and its producers present.
  std::string token;
  std::string feed_token;

  JobState state = JobState::kSubmitted;
  // Why, once it has ended (before that it follows from the rest: reason.h).
  std::string reason;
  // Its place in the queue: the index of its JobSubmitted.
  uint64_t submitted_index = 0;
  absl::Time submitted_at;
  absl::Time placed_at;
  absl::Time started_at;
  absl::Time ended_at;
  // Grows with every placement, of the gang or of one task; 0 before the first.
  uint64_t generation = 0;
  // Of the gang's newest placement: those who exchange tensors are of one gang.
  uint64_t gang = 0;
  // Of its own that were counted against facts.max_failures.
  int failures = 0;
  // How often something of it was started again, whatever the cause.
  int restarts = 0;
  // While it is RESTARTING: why, and that it is not placed before.
  std::string restart_reason;
  absl::Time restart_at;
  // ps, worker, evaluator, feed; each by number.
  std::vector<Task> tasks;

  std::optional<TrainingPlan> plan;
  // What its tasks started from.
  std::optional<CheckpointRef> restore;
  // The step at which its first gang began.
  int64_t first_step = 0;
  // Oldest first.
  std::vector<Checkpoint> checkpoints;
  std::vector<CheckpointRef> retired;
  // Asked for and not answered yet: steps of checkpoints; they are pinned.
  std::optional<int64_t> evaluating;
  std::optional<int64_t> exporting;
  std::string export_uri;

  std::vector<Dataset> datasets;
  std::optional<FailureCause> cause;
  Progress final_progress;
  std::deque<EventText> events;
};

struct Node {
  std::string name;
  // Drawn by its agent.
  std::string incarnation;
  Resources offered;
  Endpoint endpoint;
  // Secret: what is presented to its agent.
  std::string log_token;
  std::string version;
  // Its lease has ended.
  bool gone = false;
  std::string reason;
};

struct State {
  // Of the newest event applied.
  uint64_t last_index = 0;
  std::map<std::string, Job> jobs;
  std::map<std::string, Node> nodes;
  // Index: jobs that have not ended, or whose processes may exist.
  std::set<std::string> active;
  // The first event that did not fit the state, in words; empty as it should
  // be. Such an event changes nothing.
  std::string violation;
};

// ---- Reading a State.

inline constexpr std::pair<Role, const char*> kRoleNames[] = {
    {Role::kPs, "ps"},
    {Role::kWorker, "worker"},
    {Role::kEvaluator, "evaluator"},
    {Role::kFeed, "feed"},
};
const char* RoleName(Role role);
std::optional<Role> ParseRole(const std::string& name);
// "worker/0".
std::string TaskName(Role role, int number);
std::string TaskName(const Task& task);

const Job* FindJob(const State& state, const std::string& id);
const Task* FindTask(const Job& job, const std::string& name);
const Dataset* FindDataset(const Job& job, const std::string& name);
// Where it grows: the step at which the first segment begins that is not
// retired.
int64_t FirstStepOf(const Job& job, const Dataset& dataset);
// Rows of it that only this feed has, and that are needed still.
int64_t RowsAt(const Job& job, const std::string& feed);
// What the spec says of it; one that is not pushed grows not.
PushedDataset FactsOf(const Job& job, const Dataset& dataset);
const Checkpoint* FindCheckpoint(const Job& job, int64_t step);

// Tasks of a role, e.g. the number of shards of Role::kPs.
int CountTasks(const Job& job, Role role);
// What a gang that starts now goes on from.
std::optional<CheckpointRef> RestoreOf(const Job& job);
// Some process of the job may exist that keeps its gang from being placed
// again. (Feeds stay.)
bool IsStopping(const Job& job);
// Who holds the parameters: the parameter servers, or without them (all-reduce)
// the workers. The first of them keeps the checkpoints.
Role ShardRoleOf(const Job& job);
// Who scores and exports: evaluator/0, or worker/0 where there is none.
std::string FinisherOf(const Job& job);
// Of each node, how much tasks have; nodes without any are absent.
std::map<std::string, Resources> ReservedByNode(const State& state);
int64_t RowsOf(const Dataset& dataset);
// A partition of a stream is called BATCH-NAME; its batch, if it is.
std::optional<int64_t> BatchOf(const std::string& partition);
// It was published, and nobody needs it any more.
bool IsRetired(const Dataset& dataset, const Partition& partition);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CORE_STATE_H_
