// The one limit of Unix sockets that people meet.
#ifndef TFD_COMMON_NET_UNIX_PATH_H_
#define TFD_COMMON_NET_UNIX_PATH_H_

#include <sys/un.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tfd::net {

// The longest path of a Unix socket, without its terminating zero.
inline constexpr size_t kMaxUnixPathBytes = sizeof(sockaddr_un::sun_path) - 1;

// InvalidArgument where the system cannot take `path`.
inline absl::Status CheckUnixPathLength(absl::string_view path) {
  if (path.size() <= kMaxUnixPathBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the Unix socket's path ", path, " has ", path.size(),
                   " characters and the system takes ", kMaxUnixPathBytes,
                   "; choose a shorter folder, e.g. in /tmp"));
}

}  // namespace tfd::net

#endif  // TFD_COMMON_NET_UNIX_PATH_H_
