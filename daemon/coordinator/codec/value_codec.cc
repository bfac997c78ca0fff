#include "daemon/coordinator/codec/value_codec.h"

#include <cmath>
#include <utility>

namespace tfd::coordinator {
namespace {

constexpr double kMillicpusPerCpu = 1000;
// More than any machine has; keeps sums far from overflow.
constexpr double kMaxCpus = 1e6;

constexpr std::pair<ExitCause::Kind, v1::ExitCause::Kind> kExitKinds[] = {
    {ExitCause::Kind::kExited, v1::ExitCause::EXITED},
    {ExitCause::Kind::kSignaled, v1::ExitCause::SIGNALED},
    {ExitCause::Kind::kStartFailed, v1::ExitCause::START_FAILED},
    {ExitCause::Kind::kNodeLost, v1::ExitCause::NODE_LOST},
};

constexpr std::pair<JobState, v1::JobState> kJobStates[] = {
    {JobState::kSubmitted, v1::SUBMITTED},
    {JobState::kQueued, v1::QUEUED},
    {JobState::kStarting, v1::STARTING},
    {JobState::kRunning, v1::RUNNING},
    {JobState::kRestarting, v1::RESTARTING},
    {JobState::kSucceeded, v1::SUCCEEDED},
    {JobState::kFailed, v1::FAILED},
    {JobState::kCancelled, v1::CANCELLED},
};

constexpr std::pair<TaskState, v1::TaskState> kTaskStates[] = {
    {TaskState::kPending, v1::TASK_PENDING},
    {TaskState::kAssigned, v1::TASK_ASSIGNED},
    {TaskState::kStarting, v1::TASK_STARTING},
    {TaskState::kRunning, v1::TASK_RUNNING},
    {TaskState::kSucceeded, v1::TASK_SUCCEEDED},
    {TaskState::kFailed, v1::TASK_FAILED},
    {TaskState::kLost, v1::TASK_LOST},
    {TaskState::kCancelled, v1::TASK_CANCELLED},
};

template <typename Table, typename Value>
auto ToMessage(const Table& table, Value value) {
  for (const auto& [domain, message] : table) {
    if (domain == value) return message;
  }
  return table[0].second;
}

template <typename Table, typename Value>
auto ToDomain(const Table& table, Value value) {
  for (const auto& [domain, message] : table) {
    if (message == value) return domain;
  }
  return table[0].first;
}

}  // namespace

v1::Endpoint Encode(const Endpoint& endpoint) {
  v1::Endpoint message;
  message.set_host_id(endpoint.host_id);
  message.set_unix_path(endpoint.unix_path);
  message.set_memory_path(endpoint.memory_path);
  message.set_tcp(endpoint.tcp);
  return message;
}

Endpoint Decode(const v1::Endpoint& endpoint) {
  return {endpoint.host_id(), endpoint.unix_path(), endpoint.tcp(),
          endpoint.memory_path()};
}

v1::ExitCause Encode(const ExitCause& exit) {
  v1::ExitCause message;
  message.set_kind(ToMessage(kExitKinds, exit.kind));
  message.set_code(exit.code);
  message.set_signal(exit.signal);
  message.set_message(exit.message);
  for (const std::string& line : exit.last_lines) message.add_last_lines(line);
  return message;
}

ExitCause Decode(const v1::ExitCause& exit) {
  ExitCause cause;
  cause.kind = ToDomain(kExitKinds, exit.kind());
  cause.code = exit.code();
  cause.signal = exit.signal();
  cause.message = exit.message();
  cause.last_lines.assign(exit.last_lines().begin(), exit.last_lines().end());
  return cause;
}

v1::CheckpointRef Encode(const CheckpointRef& checkpoint) {
  v1::CheckpointRef message;
  message.set_step(checkpoint.step);
  message.set_uri(checkpoint.uri);
  message.set_manifest_crc32c(checkpoint.manifest_crc32c);
  return message;
}

CheckpointRef Decode(const v1::CheckpointRef& checkpoint) {
  return {checkpoint.step(), checkpoint.uri(), checkpoint.manifest_crc32c()};
}

v1::TrainingPlan Encode(const TrainingPlan& plan) {
  v1::TrainingPlan message;
  message.set_total_steps(plan.total_steps);
  message.set_steps_per_epoch(plan.steps_per_epoch);
  message.set_records(plan.records);
  message.set_global_batch_size(plan.global_batch_size);
  message.set_segments(plan.segments);
  message.set_open(plan.open);
  return message;
}

TrainingPlan Decode(const v1::TrainingPlan& plan) {
  return {plan.total_steps(),       plan.steps_per_epoch(), plan.records(),
          plan.global_batch_size(), plan.segments(),        plan.open()};
}

int64_t Millicpus(double cpus) { return std::llround(cpus * kMillicpusPerCpu); }

v1::Resources Encode(const Resources& resources) {
  v1::Resources message;
  message.set_cpus(static_cast<double>(resources.millicpus) / kMillicpusPerCpu);
  message.set_memory_bytes(resources.memory_bytes);
  return message;
}

Resources Decode(const v1::Resources& resources) {
  const double cpus =
      resources.cpus() > 0 ? std::fmin(resources.cpus(), kMaxCpus) : 0;
  return {Millicpus(cpus), resources.memory_bytes()};
}

v1::FailureCause Encode(const FailureCause& cause) {
  v1::FailureCause message;
  message.set_task(cause.task);
  message.set_message(cause.message);
  if (cause.exit.has_value()) *message.mutable_exit() = Encode(*cause.exit);
  return message;
}

FailureCause Decode(const v1::FailureCause& cause) {
  FailureCause decoded;
  decoded.task = cause.task();
  decoded.message = cause.message();
  if (cause.has_exit()) decoded.exit = Decode(cause.exit());
  return decoded;
}

v1::Partition Encode(const std::string& producer, const std::string& name,
                     const Partition& partition) {
  v1::Partition message;
  message.set_producer(producer);
  message.set_partition(name);
  message.set_attempt(partition.attempt);
  message.set_rows(partition.rows);
  message.set_crc32c(partition.crc32c);
  message.set_feed(partition.feed);
  message.set_path(partition.path);
  message.set_segment(partition.segment);
  return message;
}

Partition Decode(const v1::Partition& partition) {
  return {partition.attempt(), partition.rows(), partition.crc32c(),
          partition.feed(),    partition.path(), partition.segment()};
}

v1::JobState Encode(JobState state) { return ToMessage(kJobStates, state); }
JobState Decode(v1::JobState state) { return ToDomain(kJobStates, state); }
v1::TaskState Encode(TaskState state) { return ToMessage(kTaskStates, state); }
TaskState Decode(v1::TaskState state) { return ToDomain(kTaskStates, state); }

}  // namespace tfd::coordinator
