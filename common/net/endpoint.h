// Where servers are and how to reach them.
#ifndef TFD_COMMON_NET_ENDPOINT_H_
#define TFD_COMMON_NET_ENDPOINT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tfd/v1/job.pb.h"

namespace tfd::net {

// Boot id and network namespace of this process: two processes with the same
// one reach each other over Unix sockets. Read once. What the environment has
// as TFD_HOST_ID is appended, so that tests have several hosts on one machine.
inline constexpr char kHostIdVariable[] = "TFD_HOST_ID";
const std::string& HostId();

// What the machine calls itself.
std::string HostName();

// What to give to Dial for `peer` as seen from here: "unix:PATH" on the same
// host, else "HOST:PORT". InvalidArgument where there is neither.
absl::StatusOr<std::string> DialTarget(const v1::Endpoint& peer);

// "HOST:PORT", "unix:PATH" or "/PATH" as users write a coordinator's address;
// gives "HOST:PORT" or "unix:PATH", or says what is wrong with it.
absl::StatusOr<std::string> ParseAddress(absl::string_view text);

}  // namespace tfd::net

#endif  // TFD_COMMON_NET_ENDPOINT_H_
