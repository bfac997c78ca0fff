// Jobs, nodes and events as clients see them.
#ifndef TFD_DAEMON_COORDINATOR_CODEC_JOB_CODEC_H_
#define TFD_DAEMON_COORDINATOR_CODEC_JOB_CODEC_H_

#include <string>

#include "daemon/coordinator/core/state.h"
#include "daemon/coordinator/decide/context.h"
#include "tfd/v1/coordinator.pb.h"
#include "tfd/v1/job.pb.h"

namespace tfd::coordinator {

// Everything but the spec, which never changes. No token.
v1::Job EncodeJob(const Job& job, const Runtime& runtime);

v1::DatasetStatus EncodeDataset(const Dataset& dataset);

// Every node, in the order of names.
v1::ListNodesResponse EncodeNodes(const State& state, const Runtime& runtime);

v1::Event EncodeEventText(const std::string& job, const EventText& event);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CODEC_JOB_CODEC_H_
