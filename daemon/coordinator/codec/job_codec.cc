#include "daemon/coordinator/codec/job_codec.h"

#include "absl/strings/str_cat.h"
#include "daemon/coordinator/codec/value_codec.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/core/views.h"
#include "daemon/coordinator/decide/jobs.h"

namespace tfd::coordinator {
namespace {

void SetTime(absl::Time from, google::protobuf::Timestamp* to) {
  const int64_t seconds = absl::ToUnixSeconds(from);
  to->set_seconds(seconds);
  to->set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(from - absl::FromUnixSeconds(seconds))));
}

v1::Task EncodeTask(const Task& task) {
  v1::Task message;
  message.set_name(TaskName(task));
  message.set_state(Encode(task.state));
  message.set_reason(task.reason);
  message.set_node(task.node);
  message.set_pid(task.pid);
  if (task.exit) *message.mutable_exit() = Encode(*task.exit);
  *message.mutable_endpoint() = Encode(task.endpoint);
  return message;
}

std::string QueueReason(const Job& job, const Runtime& runtime) {
  const auto it = runtime.jobs.find(job.id);
  return it == runtime.jobs.end() ? "" : it->second.queue_reason;
}

void SetProgress(const Job& job, const Progress& progress, v1::Job* message) {
  for (const auto& [name, value] : progress.metrics) {
    (*message->mutable_metrics())[name] = value;
  }
  message->set_step(progress.step);
  message->set_epoch(progress.epoch);
  if (!job.plan.has_value()) return;
  message->set_total_steps(job.plan->total_steps);
  if (progress.epoch == 0 && job.plan->steps_per_epoch > 0) {
    message->set_epoch(static_cast<double>(progress.step) /
                       static_cast<double>(job.plan->steps_per_epoch));
  }
}

}  // namespace

v1::DatasetStatus EncodeDataset(const Dataset& dataset) {
  v1::DatasetStatus message;
  message.set_name(dataset.name);
  message.set_complete(dataset.complete);
  message.set_rows(RowsOf(dataset));
  message.set_segments(dataset.segments);
  message.set_retired_segments(dataset.retired_segments);
  for (const auto& [name, producer] : dataset.producers) {
    v1::DatasetStatus::Producer* status = message.add_producers();
    status->set_name(name);
    status->set_committed(producer.committed);
    if (producer.batch) status->set_batch(*producer.batch);
    for (const auto& [partition_name, partition] : producer.partitions) {
      *message.add_partitions() = Encode(name, partition_name, partition);
    }
  }
  return message;
}

v1::Job EncodeJob(const Job& job, const Runtime& runtime) {
  v1::Job message;
  message.set_id(job.id);
  message.set_name(job.facts.name);
  message.set_state(Encode(job.state));
  const Progress progress = ProgressOf(job, runtime);
  message.set_reason(
      DescribeWait(job, QueueReason(job, runtime), progress.step));
  SetProgress(job, progress, &message);
  for (const Task& task : job.tasks) *message.add_tasks() = EncodeTask(task);
  SetTime(job.submitted_at, message.mutable_submitted_at());
  if (job.started_at != absl::Time()) {
    SetTime(job.started_at, message.mutable_started_at());
  }
  if (IsEnd(job.state)) SetTime(job.ended_at, message.mutable_ended_at());
  message.set_generation(job.generation);
  message.set_restarts(job.restarts);
  if (!job.checkpoints.empty()) {
    *message.mutable_checkpoint() = Encode(job.checkpoints.back().ref);
  }
  message.set_export_uri(job.export_uri);
  if (job.cause) *message.mutable_cause() = Encode(*job.cause);
  for (const Dataset& dataset : job.datasets) {
    *message.add_datasets() = EncodeDataset(dataset);
  }
  message.set_owner(job.owner);
  return message;
}

v1::ListNodesResponse EncodeNodes(const State& state, const Runtime& runtime) {
  const std::map<std::string, Resources> reserved = ReservedByNode(state);
  v1::ListNodesResponse response;
  std::map<std::string, v1::Node*> by_name;
  for (const auto& [name, node] : state.nodes) {
    v1::Node* message = response.add_nodes();
    by_name[name] = message;
    message->set_name(name);
    const auto silent = runtime.silent_nodes.find(name);
    if (node.gone) {
      message->set_state(v1::Node::GONE);
      message->set_reason(node.reason);
    } else if (silent != runtime.silent_nodes.end()) {
      message->set_state(v1::Node::UNKNOWN);
      message->set_reason(silent->second);
    } else if (runtime.nodes_seen.count(name) == 0) {
      message->set_state(v1::Node::UNKNOWN);
      message->set_reason("has not come back since the coordinator started");
    } else {
      message->set_state(v1::Node::READY);
    }
    *message->mutable_offered() = Encode(node.offered);
    const auto taken = reserved.find(name);
    *message->mutable_reserved() =
        Encode(taken == reserved.end() ? Resources() : taken->second);
    message->set_host_id(node.endpoint.host_id);
    message->set_version(node.version);
  }
  for (const std::string& id : state.active) {
    for (const Task& task : state.jobs.at(id).tasks) {
      const auto node = by_name.find(task.node);
      if (!task.process_alive || node == by_name.end()) continue;
      node->second->add_tasks(absl::StrCat(id, ":", TaskName(task)));
    }
  }
  return response;
}

v1::Event EncodeEventText(const std::string& job, const EventText& event) {
  v1::Event message;
  message.set_sequence(event.sequence);
  SetTime(event.time, message.mutable_time());
  message.set_job(job);
  message.set_task(event.task);
  message.set_kind(event.kind);
  message.set_message(event.message);
  return message;
}

}  // namespace tfd::coordinator
