// The small values that messages share, to and from the domain. Total in both
// directions: what a peer may get wrong is validated where a whole message is
// decoded (link_codec.h).
#ifndef TFD_DAEMON_COORDINATOR_CODEC_VALUE_CODEC_H_
#define TFD_DAEMON_COORDINATOR_CODEC_VALUE_CODEC_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "daemon/coordinator/core/state.h"
#include "tfd/v1/checkpoint.pb.h"
#include "tfd/v1/job.pb.h"
#include "tfd/v1/task.pb.h"

namespace tfd::coordinator {

v1::Endpoint Encode(const Endpoint& endpoint);
Endpoint Decode(const v1::Endpoint& endpoint);

v1::ExitCause Encode(const ExitCause& exit);
ExitCause Decode(const v1::ExitCause& exit);

v1::CheckpointRef Encode(const CheckpointRef& checkpoint);
CheckpointRef Decode(const v1::CheckpointRef& checkpoint);

v1::TrainingPlan Encode(const TrainingPlan& plan);
TrainingPlan Decode(const v1::TrainingPlan& plan);

// Counted, so that sums are exact.
int64_t Millicpus(double cpus);
v1::Resources Encode(const Resources& resources);
Resources Decode(const v1::Resources& resources);

v1::FailureCause Encode(const FailureCause& cause);
FailureCause Decode(const v1::FailureCause& cause);

v1::Partition Encode(const std::string& producer, const std::string& name,
                     const Partition& partition);
Partition Decode(const v1::Partition& partition);

v1::JobState Encode(JobState state);
JobState Decode(v1::JobState state);
v1::TaskState Encode(TaskState state);
TaskState Decode(v1::TaskState state);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CODEC_VALUE_CODEC_H_
