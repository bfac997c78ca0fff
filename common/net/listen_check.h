// What can be known before gRPC is asked to listen, whose own error says no
// more than that it did not work.
#ifndef TFD_COMMON_NET_LISTEN_CHECK_H_
#define TFD_COMMON_NET_LISTEN_CHECK_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tfd::net {

struct TcpAddress {
  std::string host;  // an address of the loopback interface
  int port = 0;
};

// HOST:PORT of the loopback interface, its port free. FailedPrecondition where
// it is taken, naming port and, where it can be seen, the process.
absl::StatusOr<TcpAddress> CheckTcp(const std::string& host_port);

// `path` as an absolute one whose folder is there (created with mode 0700) and
// on which nobody listens: what a dead process left is removed.
absl::StatusOr<std::string> PrepareUnixPath(const std::string& path);

}  // namespace tfd::net

#endif  // TFD_COMMON_NET_LISTEN_CHECK_H_
