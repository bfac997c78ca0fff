// What agents and tasks say, validated; and what they are told.
#ifndef TFD_DAEMON_COORDINATOR_CODEC_LINK_CODEC_H_
#define TFD_DAEMON_COORDINATOR_CODEC_LINK_CODEC_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/coordinator/core/effect.h"
#include "daemon/coordinator/core/state.h"
#include "daemon/coordinator/decide/context.h"
#include "daemon/coordinator/decide/datasets.h"
#include "daemon/coordinator/decide/nodes.h"
#include "daemon/coordinator/decide/tasks.h"
#include "tfd/v1/agent.pb.h"
#include "tfd/v1/task.pb.h"

namespace tfd::coordinator {

// FailedPrecondition for another protocol version, with both named;
// InvalidArgument for what cannot be.
absl::StatusOr<AgentFacts> DecodeHello(const v1::AgentHello& hello);
absl::StatusOr<TaskFacts> DecodeHello(const v1::TaskHello& hello);

ProcessReport Decode(const v1::TaskReport& report);
ShardFile Decode(const v1::ShardFile& file);
std::vector<AttemptName> Decode(const v1::ReviewAttemptsRequest& request);
v1::ReviewAttemptsResponse::Standing Encode(AttemptStanding standing);
// As a job's events name it; empty for one this coordinator does not know.
std::string KindOf(const v1::SpoolNotice& notice);

// Everything that should be on a node.
v1::DesiredState EncodeDesired(const State& state, const std::string& node);

v1::DatasetReady EncodeReady(const Dataset& dataset);
v1::Segment EncodeSegment(const Dataset& dataset, int64_t number);
v1::TaskCommand EncodeMembership(const Job& job);
v1::TaskCommand EncodeDatasetCommand(const Dataset& dataset);
v1::TaskCommand EncodeCommitted(const Job& job);
v1::TaskCommand EncodeWriteManifest(
    int64_t step, const std::map<uint32_t, ShardFile>& shards);
// Of the checkpoint in job.evaluating, or job.exporting, which must be set.
v1::TaskCommand EncodeEvaluate(const Job& job);
v1::TaskCommand EncodeExport(const Job& job);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CODEC_LINK_CODEC_H_
