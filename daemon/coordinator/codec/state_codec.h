// A whole State to and from the bytes of a snapshot.
#ifndef TFD_DAEMON_COORDINATOR_CODEC_STATE_CODEC_H_
#define TFD_DAEMON_COORDINATOR_CODEC_STATE_CODEC_H_

#include <string>

#include "absl/status/statusor.h"
#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator {

// Everything but the indexes; equal states give equal bytes.
std::string EncodeState(const State& state);

// DataLoss where these are not the bytes of a snapshot.
absl::StatusOr<State> DecodeState(const std::string& bytes);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CODEC_STATE_CODEC_H_
