#include "daemon/coordinator/codec/state_codec.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/coordinator/codec/journal_values.h"
#include "daemon/coordinator/codec/serialize.h"
#include "daemon/coordinator/codec/value_codec.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/journal/journal.pb.h"

namespace tfd::coordinator {
namespace {

using internal::Get;
using internal::GetValues;
using internal::Put;
using internal::PutValues;

// absl::Time() is 1970, the time of what has not happened.
int64_t Micros(absl::Time time) { return absl::ToUnixMicros(time); }
absl::Time FromMicros(int64_t us) { return absl::FromUnixMicros(us); }

void PutTask(const Task& from, journal::TaskRecord* to) {
  Put(Placement{from.role, from.number, from.node, from.resources},
      to->mutable_placement());
  to->set_state(Encode(from.state));
  to->set_reason(from.reason);
  to->set_process_alive(from.process_alive);
  to->set_incarnation(from.incarnation);
  to->set_pid(from.pid);
  *to->mutable_endpoint() = Encode(from.endpoint);
  to->set_training_done(from.training_done);
  if (from.exit) *to->mutable_exit() = Encode(*from.exit);
  to->set_generation(from.generation);
  to->set_placed_at_us(Micros(from.placed_at));
  if (from.replace_at) to->set_replace_at_us(Micros(*from.replace_at));
}

Task GetTask(const journal::TaskRecord& from) {
  const Placement placement = Get(from.placement());
  Task to;
  to.role = placement.role;
  to.number = placement.number;
  to.node = placement.node;
  to.resources = placement.resources;
  to.state = Decode(from.state());
  to.reason = from.reason();
  to.process_alive = from.process_alive();
  to.incarnation = from.incarnation();
  to.pid = from.pid();
  to.endpoint = Decode(from.endpoint());
  to.training_done = from.training_done();
  if (from.has_exit()) to.exit = Decode(from.exit());
  to.generation = from.generation();
  to.placed_at = FromMicros(from.placed_at_us());
  if (from.has_replace_at_us()) {
    to.replace_at = FromMicros(from.replace_at_us());
  }
  return to;
}

void PutDataset(const Dataset& from, journal::DatasetRecord* to) {
  to->set_name(from.name);
  to->set_producers_needed(from.producers_needed);
  to->set_complete(from.complete);
  to->set_segments(from.segments);
  to->set_retired_segments(from.retired_segments);
  to->set_retired_rows(from.retired_rows);
  to->mutable_segment_ends()->insert(from.segment_ends.begin(),
                                     from.segment_ends.end());
  for (const auto& [name, producer] : from.producers) {
    auto* record = to->add_producers();
    record->set_name(name);
    record->set_committed(producer.committed);
    if (producer.batch) record->set_batch(*producer.batch);
    for (const auto& [partition_name, partition] : producer.partitions) {
      *record->add_partitions() = Encode(name, partition_name, partition);
    }
  }
}

Dataset GetDataset(const journal::DatasetRecord& from) {
  Dataset to;
  to.name = from.name();
  to.producers_needed = from.producers_needed();
  to.complete = from.complete();
  to.segments = from.segments();
  to.retired_segments = from.retired_segments();
  to.retired_rows = from.retired_rows();
  to.segment_ends = {from.segment_ends().begin(), from.segment_ends().end()};
  for (const auto& record : from.producers()) {
    Producer& producer = to.producers[record.name()];
    producer.committed = record.committed();
    if (record.has_batch()) producer.batch = record.batch();
    for (const v1::Partition& partition : record.partitions()) {
      producer.partitions[partition.partition()] = Decode(partition);
    }
  }
  return to;
}

void PutCheckpoints(const Job& from, journal::JobRecord* to) {
  if (from.plan) *to->mutable_plan() = Encode(*from.plan);
  if (from.restore) *to->mutable_restore() = Encode(*from.restore);
  for (const Checkpoint& checkpoint : from.checkpoints) {
    journal::CheckpointRecord* record = to->add_checkpoints();
    *record->mutable_ref() = Encode(checkpoint.ref);
    record->set_evaluated(checkpoint.evaluated);
    PutValues(checkpoint.values, record->mutable_values());
  }
  for (const CheckpointRef& retired : from.retired) {
    *to->add_retired() = Encode(retired);
  }
  if (from.evaluating) to->set_evaluating(*from.evaluating);
  if (from.exporting) to->set_exporting(*from.exporting);
  to->set_export_uri(from.export_uri);
}

void GetCheckpoints(const journal::JobRecord& from, Job* to) {
  if (from.has_plan()) to->plan = Decode(from.plan());
  if (from.has_restore()) to->restore = Decode(from.restore());
  for (const journal::CheckpointRecord& record : from.checkpoints()) {
    to->checkpoints.push_back(
        {Decode(record.ref()), record.evaluated(), GetValues(record.values())});
  }
  for (const v1::CheckpointRef& retired : from.retired()) {
    to->retired.push_back(Decode(retired));
  }
  if (from.has_evaluating()) to->evaluating = from.evaluating();
  if (from.has_exporting()) to->exporting = from.exporting();
  to->export_uri = from.export_uri();
}

void PutJob(const Job& from, journal::JobRecord* to) {
  Put(JobSubmitted{from.id, from.owner, from.spec, from.facts, from.token,
                   from.feed_token},
      to->mutable_submitted());
  to->set_state(Encode(from.state));
  to->set_reason(from.reason);
  to->set_submitted_index(from.submitted_index);
  to->set_submitted_at_us(Micros(from.submitted_at));
  to->set_placed_at_us(Micros(from.placed_at));
  to->set_started_at_us(Micros(from.started_at));
  to->set_ended_at_us(Micros(from.ended_at));
  to->set_generation(from.generation);
  to->set_gang(from.gang);
  to->set_failures(from.failures);
  to->set_restarts(from.restarts);
  to->set_restart_reason(from.restart_reason);
  to->set_restart_at_us(Micros(from.restart_at));
  to->set_first_step(from.first_step);
  for (const Task& task : from.tasks) PutTask(task, to->add_tasks());
  PutCheckpoints(from, to);
  for (const Dataset& dataset : from.datasets) {
    PutDataset(dataset, to->add_datasets());
  }
  if (from.cause) *to->mutable_cause() = Encode(*from.cause);
  Put(from.final_progress, to->mutable_final_progress());
  for (const EventText& event : from.events) {
    journal::EventRecord* record = to->add_events();
    record->set_sequence(event.sequence);
    record->set_time_us(Micros(event.time));
    record->set_task(event.task);
    record->set_kind(event.kind);
    record->set_message(event.message);
  }
}

Job GetJob(const journal::JobRecord& from) {
  JobSubmitted submitted = Get(from.submitted());
  Job to;
  to.id = std::move(submitted.job);
  to.owner = std::move(submitted.owner);
  to.spec = std::move(submitted.spec);
  to.facts = std::move(submitted.facts);
  to.token = std::move(submitted.token);
  to.feed_token = std::move(submitted.feed_token);
  to.state = Decode(from.state());
  to.reason = from.reason();
  to.submitted_index = from.submitted_index();
  to.submitted_at = FromMicros(from.submitted_at_us());
  to.placed_at = FromMicros(from.placed_at_us());
  to.started_at = FromMicros(from.started_at_us());
  to.ended_at = FromMicros(from.ended_at_us());
  to.generation = from.generation();
  to.gang = from.gang();
  to.failures = from.failures();
  to.restarts = from.restarts();
  to.restart_reason = from.restart_reason();
  to.restart_at = FromMicros(from.restart_at_us());
  to.first_step = from.first_step();
  for (const auto& task : from.tasks()) to.tasks.push_back(GetTask(task));
  if (to.gang == 0 && to.generation > 0) {
    // Of a version that placed gangs alone.
    to.gang = to.generation;
    for (Task& task : to.tasks) {
      task.generation = to.generation;
      task.placed_at = to.placed_at;
    }
  }
  GetCheckpoints(from, &to);
  for (const auto& dataset : from.datasets()) {
    to.datasets.push_back(GetDataset(dataset));
  }
  if (from.has_cause()) to.cause = Decode(from.cause());
  to.final_progress = Get(from.final_progress());
  for (const journal::EventRecord& record : from.events()) {
    to.events.push_back({record.sequence(), FromMicros(record.time_us()),
                         record.task(), record.kind(), record.message()});
  }
  return to;
}

void RebuildIndexes(State* state) {
  state->active.clear();
  for (const auto& [id, job] : state->jobs) {
    bool active = !IsEnd(job.state);
    for (const Task& task : job.tasks) active = active || task.process_alive;
    if (active) state->active.insert(id);
  }
}

}  // namespace

std::string EncodeState(const State& state) {
  journal::Snapshot snapshot;
  snapshot.set_last_index(state.last_index);
  for (const auto& [id, job] : state.jobs) PutJob(job, snapshot.add_jobs());
  for (const auto& [name, node] : state.nodes) {
    journal::NodeRecord* record = snapshot.add_nodes();
    Put(NodeRegistered{node.name, node.incarnation, node.offered, node.endpoint,
                       node.log_token, node.version},
        record->mutable_registered());
    record->set_gone(node.gone);
    record->set_reason(node.reason);
  }
  return SerializeInOrder(snapshot);
}

absl::StatusOr<State> DecodeState(const std::string& bytes) {
  journal::Snapshot snapshot;
  if (!snapshot.ParseFromString(bytes)) {
    return absl::DataLossError(
        absl::StrCat("a snapshot of ", bytes.size(), " bytes is damaged"));
  }
  State state;
  state.last_index = snapshot.last_index();
  for (const journal::JobRecord& record : snapshot.jobs()) {
    Job job = GetJob(record);
    state.jobs[job.id] = std::move(job);
  }
  for (const journal::NodeRecord& record : snapshot.nodes()) {
    NodeRegistered registered = Get(record.registered());
    state.nodes[registered.node] = {
        registered.node,     registered.incarnation, registered.offered,
        registered.endpoint, registered.log_token,   registered.version,
        record.gone(),       record.reason()};
  }
  RebuildIndexes(&state);
  return state;
}

}  // namespace tfd::coordinator
