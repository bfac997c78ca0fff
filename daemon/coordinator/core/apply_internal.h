// The parts of Apply, one file per concern. For apply*.cc alone.
#ifndef TFD_DAEMON_COORDINATOR_CORE_APPLY_INTERNAL_H_
#define TFD_DAEMON_COORDINATOR_CORE_APPLY_INTERNAL_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "daemon/coordinator/core/effect.h"
#include "daemon/coordinator/core/event.h"
#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator::internal {

// What one event is applied to.
class Applier {
 public:
  Applier(State& state, absl::Time time) : state_(state), time_(time) {}

  // One per event; false (with a violation noted) where it does not fit.
  bool On(const JobSubmitted& event);
  bool On(const JobQueued& event);
  bool On(const GangPlaced& event);
  bool On(const GangStarted& event);
  bool On(const JobRestarted& event);
  bool On(const JobSucceeded& event);
  bool On(const JobFailed& event);
  bool On(const JobCancelled& event);

  bool On(const TaskStarted& event);
  bool On(const TaskAttached& event);
  bool On(const TaskExited& event);
  bool On(const TaskGivenUp& event);
  bool On(const TaskToBeReplaced& event);
  bool On(const TaskReplaced& event);
  bool On(const TaskReleased& event);

  bool On(const PlanAnnounced& event);
  bool On(const TrainingFinished& event);
  bool On(const CheckpointCommitted& event);
  bool On(const CheckpointsRetired& event);
  bool On(const EvaluationStarted& event);
  bool On(const CheckpointEvaluated& event);
  bool On(const ExportStarted& event);
  bool On(const ExportWritten& event);

  bool On(const ProducerBegun& event);
  bool On(const PartitionSealed& event);
  bool On(const ProducerCommitted& event);
  bool On(const BatchCommitted& event);
  bool On(const SegmentPublished& event);
  bool On(const SegmentsRetired& event);
  bool On(const ProducerAborted& event);
  bool On(const DatasetCompleted& event);
  bool On(const SpoolNoticed& event);

  bool On(const NodeRegistered& event);
  bool On(const NodeLost& event);

  std::vector<Effect> TakeEffects() { return std::move(effects_); }

 private:
  // What an event names, or null with a violation noted.
  Job* FindMutableJob(const std::string& id);
  // Also refuses a job that has ended.
  Job* FindLiveJob(const std::string& id);
  Job* FindRunningJob(const std::string& id);
  Task* FindMutableTask(Job& job, const std::string& name);
  Dataset* FindOpenDataset(const std::string& job, const std::string& name);

  // Notes the first one; false.
  bool Violation(const std::string& what);
  // A node would promise more than it offers; noted as a violation.
  bool Overcommits(const std::string& job,
                   const std::vector<Placement>& placements);
  // A task that its node's agent is to start.
  Task Assigned(const Placement& placement, uint64_t generation);
  bool MoveJob(Job& job, JobState to);
  bool MoveTask(Task& task, TaskState to, const std::string& reason);
  // A job's end: what becomes of its tasks, and who learns of it.
  void EndJob(Job& job, TaskState remaining, const std::string& why);
  // Ends every task that has not ended, but for feeds that are spared.
  void StopTasks(Job& job, bool spare_feeds, TaskState remaining,
                 const std::string& why);
  // The process is gone, as far as anybody knows.
  void FreeTask(Job& job, Task& task);
  bool Retire(const Job& job, Dataset& dataset, const SegmentsRetired& event);
  // Keeps state.active right for one job.
  void UpdateActive(const Job& job);
  void Emit(Effect effect) { effects_.push_back(std::move(effect)); }

  State& state_;
  const absl::Time time_;
  std::vector<Effect> effects_;
};

}  // namespace tfd::coordinator::internal

#endif  // TFD_DAEMON_COORDINATOR_CORE_APPLY_INTERNAL_H_
