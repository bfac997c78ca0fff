// Events to and from the bytes in the journal.
#ifndef TFD_DAEMON_COORDINATOR_CODEC_EVENT_CODEC_H_
#define TFD_DAEMON_COORDINATOR_CODEC_EVENT_CODEC_H_

#include <string>

#include "absl/status/statusor.h"
#include "daemon/coordinator/core/event.h"

namespace tfd::coordinator {

// Times to the microsecond.
std::string EncodeEvent(const Event& event);

// DataLoss where these are not the bytes of an event that this version knows.
absl::StatusOr<Event> DecodeEvent(const std::string& bytes);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CODEC_EVENT_CODEC_H_
