#include "daemon/coordinator/codec/event_codec.h"

#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/coordinator/codec/journal_values.h"
#include "daemon/coordinator/codec/serialize.h"
#include "daemon/coordinator/codec/value_codec.h"
#include "daemon/coordinator/journal/journal.pb.h"

namespace tfd::coordinator {
namespace {

using internal::Get;
using internal::GetValues;
using internal::Put;
using internal::PutValues;

template <typename Message>
std::optional<CheckpointRef> GetRestore(const Message& message) {
  if (!message.has_restore()) return std::nullopt;
  return Decode(message.restore());
}

// One overload per event.
struct Encoder {
  journal::Entry* entry;

  void operator()(const JobSubmitted& e) {
    Put(e, entry->mutable_job_submitted());
  }
  void operator()(const JobQueued& e) {
    entry->mutable_job_queued()->set_job(e.job);
  }
  void operator()(const GangPlaced& e) {
    journal::GangPlaced* to = entry->mutable_gang_placed();
    to->set_job(e.job);
    to->set_generation(e.generation);
    for (const Placement& placement : e.placements) {
      Put(placement, to->add_placements());
    }
    to->set_reason(e.reason);
  }
  void operator()(const GangStarted& e) {
    journal::GangStarted* to = entry->mutable_gang_started();
    to->set_job(e.job);
    if (e.restore) *to->mutable_restore() = Encode(*e.restore);
  }
  void operator()(const JobRestarted& e) {
    Again(e, entry->mutable_job_restarted());
  }
  void operator()(const JobSucceeded& e) {
    Ended(e, entry->mutable_job_succeeded());
  }
  void operator()(const JobFailed& e) {
    Ended(e, entry->mutable_job_failed());
    *entry->mutable_job_failed()->mutable_cause() = Encode(e.cause);
  }
  void operator()(const JobCancelled& e) {
    Ended(e, entry->mutable_job_cancelled());
  }

  void operator()(const TaskStarted& e) {
    Of(e, entry->mutable_task_started())->set_pid(e.pid);
  }
  void operator()(const TaskAttached& e) {
    journal::TaskEvent* to = Of(e, entry->mutable_task_attached());
    to->set_incarnation(e.incarnation);
    to->set_pid(e.pid);
    *to->mutable_endpoint() = Encode(e.endpoint);
    if (e.restore) *to->mutable_restore() = Encode(*e.restore);
  }
  void operator()(const TaskExited& e) {
    journal::TaskEvent* to = Of(e, entry->mutable_task_exited());
    *to->mutable_exit() = Encode(e.exit);
    to->set_failed(e.failed);
    to->set_reason(e.reason);
  }
  void operator()(const TaskGivenUp& e) {
    journal::TaskEvent* to = Of(e, entry->mutable_task_given_up());
    to->set_lost(e.lost);
    to->set_reason(e.reason);
  }
  void operator()(const TaskToBeReplaced& e) {
    Again(e, entry->mutable_task_to_be_replaced());
  }
  void operator()(const TaskReplaced& e) {
    entry->mutable_task_replaced()->set_job(e.job);
    entry->mutable_task_replaced()->set_generation(e.generation);
    Put(e.placement, entry->mutable_task_replaced()->mutable_placement());
  }
  void operator()(const TaskReleased& e) {
    Of(e, entry->mutable_task_released())->set_reason(e.reason);
  }

  void operator()(const PlanAnnounced& e) {
    entry->mutable_plan_announced()->set_job(e.job);
    *entry->mutable_plan_announced()->mutable_plan() = Encode(e.plan);
  }
  void operator()(const TrainingFinished& e) {
    Of(e, entry->mutable_training_finished())->set_step(e.step);
  }
  void operator()(const CheckpointCommitted& e) {
    entry->mutable_checkpoint_committed()->set_job(e.job);
    *entry->mutable_checkpoint_committed()->mutable_checkpoint() =
        Encode(e.checkpoint);
  }
  void operator()(const CheckpointsRetired& e) {
    entry->mutable_checkpoints_retired()->set_job(e.job);
    for (const int64_t step : e.steps) {
      entry->mutable_checkpoints_retired()->add_steps(step);
    }
  }
  void operator()(const EvaluationStarted& e) {
    At(e, entry->mutable_evaluation_started());
  }
  void operator()(const CheckpointEvaluated& e) {
    PutValues(e.values,
              At(e, entry->mutable_checkpoint_evaluated())->mutable_values());
  }
  void operator()(const ExportStarted& e) {
    At(e, entry->mutable_export_started())->set_reason(e.reason);
  }
  void operator()(const ExportWritten& e) {
    At(e, entry->mutable_export_written())->set_uri(e.uri);
  }

  void operator()(const ProducerBegun& e) {
    By(e, entry->mutable_producer_begun());
  }
  void operator()(const PartitionSealed& e) {
    *By(e, entry->mutable_partition_sealed())->mutable_partition() =
        Encode(e.producer, e.name, e.partition);
  }
  void operator()(const ProducerCommitted& e) {
    By(e, entry->mutable_producer_committed());
  }
  void operator()(const BatchCommitted& e) {
    By(e, entry->mutable_batch_committed())->set_batch(e.batch);
  }
  void operator()(const SegmentPublished& e) {
    journal::DatasetEvent* to = entry->mutable_segment_published();
    to->set_job(e.job);
    to->set_dataset(e.dataset);
    for (const PartitionName& name : e.partitions) {
      v1::Partition* partition = to->add_published();
      partition->set_producer(name.producer);
      partition->set_partition(name.partition);
    }
  }
  void operator()(const SegmentsRetired& e) {
    journal::DatasetEvent* to = entry->mutable_segments_retired();
    to->set_job(e.job);
    to->set_dataset(e.dataset);
    to->set_segment(e.through);
  }
  void operator()(const ProducerAborted& e) {
    By(e, entry->mutable_producer_aborted());
  }
  void operator()(const DatasetCompleted& e) {
    entry->mutable_dataset_completed()->set_job(e.job);
    entry->mutable_dataset_completed()->set_dataset(e.dataset);
  }

  void operator()(const SpoolNoticed& e) {
    journal::SpoolNoticed* to = entry->mutable_spool_noticed();
    to->set_job(e.job);
    to->set_task(e.task);
    to->set_kind(e.kind);
    to->set_message(e.message);
  }

  void operator()(const NodeRegistered& e) {
    Put(e, entry->mutable_node_registered());
  }
  void operator()(const NodeLost& e) {
    entry->mutable_node_lost()->set_node(e.node);
    entry->mutable_node_lost()->set_reason(e.reason);
  }

 private:
  template <typename E>
  static void Again(const E& e, journal::Restart* to) {
    to->set_job(e.job);
    to->set_task(e.task);
    to->set_counted(e.counted);
    to->set_at_us(absl::ToUnixMicros(e.at));
    to->set_reason(e.reason);
  }
  template <typename E>
  static void Ended(const E& e, journal::JobEnded* to) {
    to->set_job(e.job);
    to->set_reason(e.reason);
    Put(e.progress, to->mutable_progress());
  }
  template <typename E>
  static journal::TaskEvent* Of(const E& e, journal::TaskEvent* to) {
    to->set_job(e.job);
    to->set_task(e.task);
    return to;
  }
  template <typename E>
  static journal::CheckpointEvent* At(const E& e,
                                      journal::CheckpointEvent* to) {
    to->set_job(e.job);
    to->set_step(e.step);
    return to;
  }
  template <typename E>
  static journal::DatasetEvent* By(const E& e, journal::DatasetEvent* to) {
    to->set_job(e.job);
    to->set_dataset(e.dataset);
    to->set_producer(e.producer);
    return to;
  }
};

template <typename E>
E GetAgain(const journal::Restart& from) {
  return E{from.job(), from.task(), from.counted(),
           absl::FromUnixMicros(from.at_us()), from.reason()};
}

std::optional<EventBody> DecodeJobEvent(const journal::Entry& entry) {
  switch (entry.body_case()) {
    case journal::Entry::kJobSubmitted:
      return Get(entry.job_submitted());
    case journal::Entry::kJobQueued:
      return JobQueued{entry.job_queued().job()};
    case journal::Entry::kGangPlaced: {
      const journal::GangPlaced& from = entry.gang_placed();
      GangPlaced to{from.job(), from.generation(), {}, from.reason()};
      for (const journal::Placement& placement : from.placements()) {
        to.placements.push_back(Get(placement));
      }
      return to;
    }
    case journal::Entry::kGangStarted:
      return GangStarted{entry.gang_started().job(),
                         GetRestore(entry.gang_started())};
    case journal::Entry::kJobRestarted:
      return GetAgain<JobRestarted>(entry.job_restarted());
    case journal::Entry::kJobSucceeded: {
      const journal::JobEnded& from = entry.job_succeeded();
      return JobSucceeded{from.job(), from.reason(), Get(from.progress())};
    }
    case journal::Entry::kJobFailed: {
      const journal::JobEnded& from = entry.job_failed();
      return JobFailed{from.job(), Decode(from.cause()), from.reason(),
                       Get(from.progress())};
    }
    case journal::Entry::kJobCancelled: {
      const journal::JobEnded& from = entry.job_cancelled();
      return JobCancelled{from.job(), from.reason(), Get(from.progress())};
    }
    default:
      return std::nullopt;
  }
}

std::optional<EventBody> DecodeTaskEvent(const journal::Entry& entry) {
  switch (entry.body_case()) {
    case journal::Entry::kTaskStarted: {
      const journal::TaskEvent& from = entry.task_started();
      return TaskStarted{from.job(), from.task(), from.pid()};
    }
    case journal::Entry::kTaskAttached: {
      const journal::TaskEvent& from = entry.task_attached();
      return TaskAttached{from.job(),
                          from.task(),
                          from.incarnation(),
                          from.pid(),
                          Decode(from.endpoint()),
                          GetRestore(from)};
    }
    case journal::Entry::kTaskExited: {
      const journal::TaskEvent& from = entry.task_exited();
      return TaskExited{from.job(), from.task(), Decode(from.exit()),
                        from.failed(), from.reason()};
    }
    case journal::Entry::kTaskGivenUp: {
      const journal::TaskEvent& from = entry.task_given_up();
      return TaskGivenUp{from.job(), from.task(), from.lost(), from.reason()};
    }
    case journal::Entry::kTaskToBeReplaced:
      return GetAgain<TaskToBeReplaced>(entry.task_to_be_replaced());
    case journal::Entry::kTaskReplaced: {
      const journal::TaskReplaced& from = entry.task_replaced();
      return TaskReplaced{from.job(), from.generation(), Get(from.placement())};
    }
    case journal::Entry::kTaskReleased: {
      const journal::TaskEvent& from = entry.task_released();
      return TaskReleased{from.job(), from.task(), from.reason()};
    }
    case journal::Entry::kTrainingFinished: {
      const journal::TaskEvent& from = entry.training_finished();
      return TrainingFinished{from.job(), from.task(), from.step()};
    }
    default:
      return std::nullopt;
  }
}

std::optional<EventBody> DecodeTrainingEvent(const journal::Entry& entry) {
  switch (entry.body_case()) {
    case journal::Entry::kPlanAnnounced:
      return PlanAnnounced{entry.plan_announced().job(),
                           Decode(entry.plan_announced().plan())};
    case journal::Entry::kCheckpointCommitted:
      return CheckpointCommitted{
          entry.checkpoint_committed().job(),
          Decode(entry.checkpoint_committed().checkpoint())};
    case journal::Entry::kCheckpointsRetired: {
      const journal::CheckpointsRetired& from = entry.checkpoints_retired();
      return CheckpointsRetired{from.job(),
                                {from.steps().begin(), from.steps().end()}};
    }
    case journal::Entry::kEvaluationStarted:
      return EvaluationStarted{entry.evaluation_started().job(),
                               entry.evaluation_started().step()};
    case journal::Entry::kCheckpointEvaluated: {
      const journal::CheckpointEvent& from = entry.checkpoint_evaluated();
      return CheckpointEvaluated{from.job(), from.step(),
                                 GetValues(from.values())};
    }
    case journal::Entry::kExportStarted: {
      const journal::CheckpointEvent& from = entry.export_started();
      return ExportStarted{from.job(), from.step(), from.reason()};
    }
    case journal::Entry::kExportWritten: {
      const journal::CheckpointEvent& from = entry.export_written();
      return ExportWritten{from.job(), from.step(), from.uri()};
    }
    default:
      return std::nullopt;
  }
}

std::optional<EventBody> DecodeOtherEvent(const journal::Entry& entry) {
  switch (entry.body_case()) {
    case journal::Entry::kProducerBegun: {
      const journal::DatasetEvent& from = entry.producer_begun();
      return ProducerBegun{from.job(), from.dataset(), from.producer()};
    }
    case journal::Entry::kPartitionSealed: {
      const journal::DatasetEvent& from = entry.partition_sealed();
      return PartitionSealed{from.job(), from.dataset(), from.producer(),
                             from.partition().partition(),
                             Decode(from.partition())};
    }
    case journal::Entry::kProducerCommitted: {
      const journal::DatasetEvent& from = entry.producer_committed();
      return ProducerCommitted{from.job(), from.dataset(), from.producer()};
    }
    case journal::Entry::kBatchCommitted: {
      const journal::DatasetEvent& from = entry.batch_committed();
      return BatchCommitted{from.job(), from.dataset(), from.producer(),
                            from.batch()};
    }
    case journal::Entry::kSegmentPublished: {
      const journal::DatasetEvent& from = entry.segment_published();
      SegmentPublished to{from.job(), from.dataset(), {}};
      for (const v1::Partition& partition : from.published()) {
        to.partitions.push_back({partition.producer(), partition.partition()});
      }
      return to;
    }
    case journal::Entry::kSegmentsRetired: {
      const journal::DatasetEvent& from = entry.segments_retired();
      return SegmentsRetired{from.job(), from.dataset(), from.segment()};
    }
    case journal::Entry::kProducerAborted: {
      const journal::DatasetEvent& from = entry.producer_aborted();
      return ProducerAborted{from.job(), from.dataset(), from.producer()};
    }
    case journal::Entry::kDatasetCompleted: {
      const journal::DatasetEvent& from = entry.dataset_completed();
      return DatasetCompleted{from.job(), from.dataset()};
    }
    case journal::Entry::kSpoolNoticed: {
      const journal::SpoolNoticed& from = entry.spool_noticed();
      return SpoolNoticed{from.job(), from.task(), from.kind(), from.message()};
    }
    case journal::Entry::kNodeRegistered:
      return Get(entry.node_registered());
    case journal::Entry::kNodeLost:
      return NodeLost{entry.node_lost().node(), entry.node_lost().reason()};
    default:
      return std::nullopt;
  }
}

}  // namespace

std::string EncodeEvent(const Event& event) {
  journal::Entry entry;
  entry.set_time_us(absl::ToUnixMicros(event.time));
  std::visit(Encoder{&entry}, event.body);
  return SerializeInOrder(entry);
}

absl::StatusOr<Event> DecodeEvent(const std::string& bytes) {
  journal::Entry entry;
  if (!entry.ParseFromString(bytes)) {
    return absl::DataLossError(
        absl::StrCat("a journal entry of ", bytes.size(), " bytes is damaged"));
  }
  for (const auto decode : {&DecodeJobEvent, &DecodeTaskEvent,
                            &DecodeTrainingEvent, &DecodeOtherEvent}) {
    std::optional<EventBody> body = decode(entry);
    if (!body.has_value()) continue;
    return Event{absl::FromUnixMicros(entry.time_us()), *std::move(body)};
  }
  return absl::DataLossError(
      "a journal entry is of a kind that this version does not know: was it "
      "written by a newer tfd-coordinator?");
}

}  // namespace tfd::coordinator
