// ReadLogs: reads the logs of a job's tasks at the agents of their nodes and
// passes them on, several tasks interleaved.
#ifndef TFD_DAEMON_COORDINATOR_SERVICE_LOG_RELAY_H_
#define TFD_DAEMON_COORDINATOR_SERVICE_LOG_RELAY_H_

#include "daemon/coordinator/service/coordinator_service.h"
#include "daemon/coordinator/service/reply_stream.h"
#include "tfd/v1/coordinator.pb.h"

namespace tfd::coordinator {

// With follow, waits for tasks that are not placed yet, and ends when all have
// ended. A slow reader holds back the agents' streams, nothing else. A node
// that cannot be reached is named in the final status, after what the others
// had to say.
void RelayLogs(const ServiceDependencies& dependencies,
               const v1::ReadLogsRequest& request,
               const ReplyStream<v1::LogLines>::Pointer& stream);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_SERVICE_LOG_RELAY_H_
