// What starting a daemon takes, whether as a child or in the background.
#ifndef TFD_CLIENT_DAEMON_START_H_
#define TFD_CLIENT_DAEMON_START_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/child_process.h"

namespace tfd::client {

// Waits until the coordinator has written where it listens, and gives the
// first address in the file: the Unix socket where there is one. An error
// where the process ends first, or after 10 s.
absl::StatusOr<std::string> AwaitAddressFile(const std::string& path,
                                             ChildProcess& process);

// `status` with the end of a daemon's log behind it, where its cause is.
absl::Status WithLastLines(const absl::Status& status,
                           const std::string& log_path);

// What --offer of tfd-agent takes, e.g. "cpus=2.5,memory=1048576".
std::string OfferText(double cpus, uint64_t memory_bytes);

}  // namespace tfd::client

#endif  // TFD_CLIENT_DAEMON_START_H_
