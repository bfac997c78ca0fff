// Calls that follow a job until it ends: its states, its events.
#ifndef TFD_DAEMON_COORDINATOR_SERVICE_FOLLOWERS_H_
#define TFD_DAEMON_COORDINATOR_SERVICE_FOLLOWERS_H_

#include <string>

#include "daemon/coordinator/service/coordinator_service.h"
#include "daemon/coordinator/service/reply_stream.h"
#include "tfd/v1/coordinator.pb.h"

namespace tfd::coordinator {

// The job now and whenever it changed, at most ten times a second; a reader
// that is slower gets only the newest. Ends after the terminal state.
void FollowJob(const ServiceDependencies& dependencies, const std::string& id,
               const ReplyStream<v1::Job>::Pointer& stream);

// Events from a sequence number on; with follow until the job has ended.
void FollowEvents(const ServiceDependencies& dependencies,
                  const v1::ReadEventsRequest& request,
                  const ReplyStream<v1::Event>::Pointer& stream);

bool HasEnded(const v1::Job& job);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_SERVICE_FOLLOWERS_H_
