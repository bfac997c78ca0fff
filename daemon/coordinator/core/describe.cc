#include "daemon/coordinator/core/describe.h"

#include <string.h>

#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace tfd::coordinator {
namespace {

// One overload per event.
struct Describer {
  const State& before;

  Description operator()(const JobSubmitted& e) const {
    return {e.job, "", "JobSubmitted",
            absl::StrCat("submitted by ", e.owner, ", name ", e.facts.name)};
  }
  Description operator()(const JobQueued& e) const {
    return {e.job, "", "JobQueued", "queued"};
  }
  Description operator()(const GangPlaced& e) const {
    std::vector<std::string> parts;
    for (const Placement& p : e.placements) {
      parts.push_back(absl::StrCat(TaskName(p.role, p.number), " on ", p.node));
    }
    return {e.job, "", "GangPlaced",
            absl::StrCat("placed, generation ", e.generation, ": ",
                         absl::StrJoin(parts, ", "), " (", e.reason, ")")};
  }
  Description operator()(const GangStarted& e) const {
    std::string text = absl::StrCat(
        "every task is there; ",
        PurposeOf(e.job) == Purpose::kTrain ? "training" : "predicting",
        " begins");
    if (e.restore.has_value()) {
      absl::StrAppend(&text, " from checkpoint ", e.restore->step, " in ",
                      e.restore->uri);
    }
    return {e.job, "", "GangStarted", text};
  }
  Description operator()(const JobRestarted& e) const {
    return {e.job, e.task, "JobRestarted", e.reason};
  }
  Description operator()(const JobSucceeded& e) const {
    return {e.job, "", "JobSucceeded", e.reason};
  }
  Description operator()(const JobFailed& e) const {
    return {e.job, e.cause.task, "JobFailed", e.reason};
  }
  Description operator()(const JobCancelled& e) const {
    return {e.job, "", "JobCancelled", e.reason};
  }

  Description operator()(const TaskStarted& e) const {
    return {e.job, e.task, "TaskStarted",
            absl::StrCat("its process is ", e.pid)};
  }
  Description operator()(const TaskAttached& e) const {
    std::string text = absl::StrCat("said hello, process ", e.pid);
    if (!e.endpoint.tcp.empty()) {
      absl::StrAppend(&text, ", serves on ", e.endpoint.tcp);
    } else if (!e.endpoint.unix_path.empty()) {
      absl::StrAppend(&text, ", serves on ", e.endpoint.unix_path);
    }
    return {e.job, e.task, "TaskAttached", text};
  }
  Description operator()(const TaskExited& e) const {
    return {e.job, e.task, "TaskExited", DescribeExit(e.exit)};
  }
  Description operator()(const TaskGivenUp& e) const {
    return {e.job, e.task, e.lost ? "TaskLost" : "TaskGivenUp", e.reason};
  }
  Description operator()(const TaskToBeReplaced& e) const {
    return {e.job, e.task, "TaskToBeReplaced", e.reason};
  }
  Description operator()(const TaskReplaced& e) const {
    return {e.job, TaskName(e.placement.role, e.placement.number),
            "TaskReplaced",
            absl::StrCat("placed on ", e.placement.node, ", generation ",
                         e.generation)};
  }
  Description operator()(const TaskReleased& e) const {
    return {e.job, e.task, "TaskReleased", e.reason};
  }

  Description operator()(const PlanAnnounced& e) const {
    if (PurposeOf(e.job) == Purpose::kPredict) {
      return {e.job, "", "PlanAnnounced",
              absl::StrCat(e.plan.records, " records in ", e.plan.total_steps,
                           " parts of ", e.plan.global_batch_size)};
    }
    if (e.plan.segments > 0) {
      return {e.job, "", "PlanAnnounced",
              absl::StrCat(e.plan.total_steps, " steps over ", e.plan.records,
                           " records of ", e.plan.segments, " segments, ",
                           e.plan.global_batch_size, " records per step",
                           e.plan.open ? "; more may follow" : "")};
    }
    return {e.job, "", "PlanAnnounced",
            absl::StrCat(e.plan.total_steps, " steps, ", e.plan.steps_per_epoch,
                         " per epoch of ", e.plan.records, " records, ",
                         e.plan.global_batch_size, " records per step")};
  }
  Description operator()(const TrainingFinished& e) const {
    return {e.job, e.task, "TrainingFinished",
            absl::StrCat("has taken all its steps, ", e.step)};
  }
  Description operator()(const CheckpointCommitted& e) const {
    return {e.job, "", "CheckpointCommitted",
            absl::StrCat("checkpoint ", e.checkpoint.step, " in ",
                         e.checkpoint.uri)};
  }
  Description operator()(const CheckpointsRetired& e) const {
    return {e.job, "", "CheckpointsRetired",
            absl::StrCat("no longer kept: ", absl::StrJoin(e.steps, ", "))};
  }
  Description operator()(const EvaluationStarted& e) const {
    return {e.job, Finisher(e.job), "EvaluationStarted",
            absl::StrCat("scores checkpoint ", e.step)};
  }
  Description operator()(const CheckpointEvaluated& e) const {
    return {e.job, Finisher(e.job), "CheckpointEvaluated",
            absl::StrCat("checkpoint ", e.step, ": ", FormatValues(e.values))};
  }
  Description operator()(const ExportStarted& e) const {
    return {e.job, Finisher(e.job), "ExportStarted",
            absl::StrCat("exports checkpoint ", e.step, ": ", e.reason)};
  }
  Description operator()(const ExportWritten& e) const {
    return {e.job, Finisher(e.job), "ExportWritten",
            absl::StrCat("checkpoint ", e.step, " exported to ", e.uri)};
  }

  Description operator()(const ProducerBegun& e) const {
    return {
        e.job, "", "ProducerBegun",
        absl::StrCat("producer ", e.producer, " of ", e.dataset, " has begun")};
  }
  Description operator()(const PartitionSealed& e) const {
    return {e.job, e.partition.feed, "PartitionSealed",
            absl::StrCat("partition ", e.name, " of ", e.dataset, " by ",
                         e.producer, ": ", e.partition.rows, " rows, attempt ",
                         e.partition.attempt)};
  }
  Description operator()(const ProducerCommitted& e) const {
    return {e.job, "", "ProducerCommitted",
            absl::StrCat("producer ", e.producer, " of ", e.dataset,
                         " has committed")};
  }
  Description operator()(const BatchCommitted& e) const {
    return {e.job, "", "BatchCommitted",
            absl::StrCat("producer ", e.producer, " of ", e.dataset,
                         " has committed batch ", e.batch)};
  }
  Description operator()(const SegmentPublished& e) const {
    int64_t rows = 0;
    int64_t segment = 1;
    const Job* job = FindJob(before, e.job);
    const Dataset* dataset =
        job == nullptr ? nullptr : FindDataset(*job, e.dataset);
    if (dataset != nullptr) {
      segment += dataset->segments;
      for (const PartitionName& name : e.partitions) {
        rows += RowsOf(*dataset, name.producer, name.partition);
      }
    }
    return {e.job, "", "SegmentPublished",
            absl::StrCat(
                "segment ", segment, " of ", e.dataset,
                " may be trained on: ", rows, " rows in ", e.partitions.size(),
                e.partitions.size() == 1 ? " partition" : " partitions")};
  }
  Description operator()(const SegmentsRetired& e) const {
    return {e.job, "", "SegmentsRetired",
            absl::StrCat("nobody needs the segments of ", e.dataset, " up to ",
                         e.through, " any more")};
  }
  Description operator()(const ProducerAborted& e) const {
    return {e.job, "", "ProducerAborted",
            absl::StrCat("producer ", e.producer, " of ", e.dataset,
                         " has aborted; its rows are dropped")};
  }
  Description operator()(const DatasetCompleted& e) const {
    int64_t rows = 0;
    if (const Job* job = FindJob(before, e.job)) {
      if (const Dataset* dataset = FindDataset(*job, e.dataset)) {
        rows = coordinator::RowsOf(*dataset);
      }
    }
    return {
        e.job, "", "DatasetCompleted",
        absl::StrCat("dataset ", e.dataset, " is complete: ", rows, " rows")};
  }

  Description operator()(const SpoolNoticed& e) const {
    return {e.job, e.task, e.kind, e.message};
  }

  Description operator()(const NodeRegistered& e) const {
    return {"", "", "NodeRegistered",
            absl::StrCat("node ", e.node, " is there")};
  }
  Description operator()(const NodeLost& e) const {
    return {"", "", "NodeLost",
            absl::StrCat("node ", e.node, " is gone: ", e.reason)};
  }

 private:
  std::string Finisher(const std::string& id) const {
    const Job* job = FindJob(before, id);
    return job == nullptr ? "" : FinisherOf(*job);
  }
  static int64_t RowsOf(const Dataset& dataset, const std::string& producer,
                        const std::string& partition) {
    const auto found = dataset.producers.find(producer);
    if (found == dataset.producers.end()) return 0;
    const auto it = found->second.partitions.find(partition);
    return it == found->second.partitions.end() ? 0 : it->second.rows;
  }
  Purpose PurposeOf(const std::string& id) const {
    const Job* job = FindJob(before, id);
    return job == nullptr ? Purpose::kTrain : job->facts.purpose;
  }
};

}  // namespace

Description Describe(const State& before, const EventBody& body) {
  return std::visit(Describer{before}, body);
}

std::string DescribeExit(const ExitCause& exit) {
  std::string text;
  switch (exit.kind) {
    case ExitCause::Kind::kExited:
      text = absl::StrCat("ended with exit code ", exit.code);
      break;
    case ExitCause::Kind::kSignaled: {
      const char* name = sigabbrev_np(exit.signal);
      text = name == nullptr ? absl::StrCat("killed by signal ", exit.signal)
                             : absl::StrCat("killed by SIG", name);
      break;
    }
    case ExitCause::Kind::kStartFailed:
      text = "could not be started";
      break;
    case ExitCause::Kind::kNodeLost:
      text = "its node is gone";
      break;
  }
  if (!exit.message.empty()) absl::StrAppend(&text, ": ", exit.message);
  return text;
}

std::string FormatCpus(int64_t millicpus) {
  return absl::StrFormat("%.3g cpu%s", static_cast<double>(millicpus) / 1000,
                         millicpus > 1000 ? "s" : "");
}

std::string FormatValues(const std::map<std::string, double>& values) {
  return absl::StrJoin(values, ", ", [](std::string* out, const auto& value) {
    absl::StrAppendFormat(out, "%s %.6g", value.first, value.second);
  });
}

}  // namespace tfd::coordinator
