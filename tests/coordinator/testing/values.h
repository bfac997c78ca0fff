// Jobs and nodes for tests of the coordinator.
#ifndef TFD_TESTS_COORDINATOR_TESTING_VALUES_H_
#define TFD_TESTS_COORDINATOR_TESTING_VALUES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/coordinator/core/apply.h"
#include "daemon/coordinator/core/event.h"
#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator::testing {

inline constexpr uint64_t kGiB = uint64_t{1} << 30;

inline absl::Time At(int64_t seconds) {
  return absl::FromUnixSeconds(1600000000 + seconds);
}

inline JobFacts Facts(int ps, int worker, int evaluator) {
  JobFacts facts;
  facts.name = "test";
  const Resources each{1000, kGiB};
  if (ps > 0) facts.roles.push_back({Role::kPs, ps, each});
  if (worker > 0) facts.roles.push_back({Role::kWorker, worker, each});
  if (evaluator > 0) facts.roles.push_back({Role::kEvaluator, evaluator, each});
  facts.has_validation = true;
  facts.keep = 2;
  facts.storage = "/runs/test";
  return facts;
}

inline JobSubmitted Submitted(const std::string& id, JobFacts facts) {
  facts.storage += "-" + id;
  return {id, "ada", "spec of " + id, std::move(facts), "token", "feed-token"};
}

inline NodeRegistered Registered(const std::string& name, int cpus = 8) {
  NodeRegistered node;
  node.node = name;
  node.incarnation = "incarnation of " + name;
  node.offered = {cpus * 1000, 64 * kGiB};
  node.endpoint = {"host", "", "127.0.0.1:1", ""};
  node.log_token = "log-token";
  node.version = "0.1.0";
  return node;
}

// Every task of the facts on one node, with a feed where data is pushed.
inline GangPlaced PlacedOn(const std::string& id, const JobFacts& facts,
                           const std::string& node, uint64_t generation = 1) {
  GangPlaced placed{id, generation, {}, "it fits"};
  for (const RoleNeed& need : facts.roles) {
    for (int number = 0; number < need.count; ++number) {
      placed.placements.push_back({need.role, number, node, need.each});
    }
  }
  if (!facts.pushed.empty()) {
    placed.placements.push_back({Role::kFeed, 0, node, {}});
  }
  return placed;
}

// A state with one job, taken as far as asked.
class JobBuilder {
 public:
  explicit JobBuilder(JobFacts facts = Facts(1, 2, 1), std::string id = "j")
      : facts_(std::move(facts)), id_(std::move(id)) {
    Do(Registered("node-a"));
  }

  JobBuilder& Do(EventBody body) {
    Apply(state_, Event{At(static_cast<int64_t>(state_.last_index)), body});
    return *this;
  }
  JobBuilder& Queue() { return Do(Submitted(id_, facts_)).Do(JobQueued{id_}); }
  JobBuilder& Place() { return Queue().Do(PlacedOn(id_, facts_, "node-a")); }
  JobBuilder& Run() {
    Place();
    for (const Task& task : std::vector<Task>(job().tasks)) {
      Do(TaskAttached{id_, TaskName(task), 7, 70, {}, {}});
    }
    return Do(GangStarted{id_, {}});
  }
  JobBuilder& Commit(int64_t step) {
    return Do(
        CheckpointCommitted{id_, {step, "/runs/s" + std::to_string(step), 1}});
  }

  State& state() { return state_; }
  Job& job() { return state_.jobs[id_]; }
  const Task& task(const std::string& name) { return *FindTask(job(), name); }

 private:
  const JobFacts facts_;
  const std::string id_;
  State state_;
};

// One of every kind of event, all about job "j" and node "node-a".
inline std::vector<EventBody> OneOfEach() {
  JobFacts facts = Facts(1, 2, 1);
  facts.pushed = {{"train", 2}};
  facts.target = Target{"accuracy", 0.99, {}};
  facts.one_node = true;
  facts.max_failures = 3;
  facts.replaceable_workers = true;
  ExitCause exit;
  exit.kind = ExitCause::Kind::kSignaled;
  exit.signal = 9;
  exit.message = "out of memory";
  exit.last_lines = {"one", "two"};
  const Progress progress{12, 1.5, {{"loss", 0.25}}};
  const CheckpointRef checkpoint{500, "/runs/s500", 77};
  const Endpoint endpoint{"host", "/tmp/s", "127.0.0.1:9"};
  return {
      Submitted("j", facts),
      JobQueued{"j"},
      PlacedOn("j", facts, "node-a"),
      GangStarted{"j", checkpoint},
      JobRestarted{"j", "ps/0", true, At(90), "ps/0 was killed"},
      JobSucceeded{"j", "done", progress},
      JobFailed{
          "j", {"worker/1", "it failed", exit}, "worker/1 failed", progress},
      JobCancelled{"j", "cancelled: enough", progress},
      TaskStarted{"j", "worker/0", 4711},
      TaskAttached{"j", "ps/0", 99, 4712, endpoint, checkpoint},
      TaskExited{"j", "worker/1", exit, true, "killed"},
      TaskGivenUp{"j", "worker/0", true, "its node is gone"},
      TaskToBeReplaced{"j", "worker/0", true, At(91), "killed"},
      TaskReplaced{
          "j", 2, {Role::kWorker, 1, "node-a", facts.roles.front().each}},
      TaskReleased{"j", "worker/0", "nobody saw it"},
      PlanAnnounced{"j", {1000, 100, 6400, 64}},
      TrainingFinished{"j", "worker/1", 1000},
      CheckpointCommitted{"j", checkpoint},
      CheckpointsRetired{"j", {100, 200}},
      EvaluationStarted{"j", 500},
      CheckpointEvaluated{"j", 500, {{"accuracy", 0.98}, {"loss", 0.1}}},
      ExportStarted{"j", 500, "it is the last one"},
      ExportWritten{"j", 500, "/runs/export"},
      ProducerBegun{"j", "train", "p"},
      PartitionSealed{"j", "train", "p", "0", {"a1", 60, 5, "feed/0", "/x"}},
      ProducerCommitted{"j", "train", "p"},
      BatchCommitted{"j", "train", "p", 3},
      SegmentPublished{"j", "train", {{"p", "0"}}},
      SegmentsRetired{"j", "train", 2},
      ProducerAborted{"j", "train", "p"},
      DatasetCompleted{"j", "train"},
      SpoolNoticed{"j", "feed/0", "SpoolDiskFull", "make room"},
      Registered("node-a"),
      NodeLost{"node-a", "has been silent for 10 s"},
  };
}

}  // namespace tfd::coordinator::testing

#endif  // TFD_TESTS_COORDINATOR_TESTING_VALUES_H_
