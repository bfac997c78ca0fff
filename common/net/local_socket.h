// Sockets between processes of one host that carry small messages, and
// descriptors with them, which gRPC cannot. (AF_UNIX, SOCK_SEQPACKET.)
#ifndef TFD_COMMON_NET_LOCAL_SOCKET_H_
#define TFD_COMMON_NET_LOCAL_SOCKET_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/unique_descriptor.h"

namespace tfd::net {

struct LocalMessage {
  std::string text;
  // Not valid where the message carried none.
  UniqueDescriptor descriptor;
};

// One end of a connection. Send, Receive and Shutdown may be called at the same
// time from different threads; Receive by one at a time.
class LocalSocket {
 public:
  static constexpr size_t kMaxMessageBytes = 4096;

  LocalSocket() = default;
  // Unavailable where nobody listens at `path`.
  static absl::StatusOr<LocalSocket> Connect(const std::string& path);

  // Never blocks. ResourceExhausted where the peer has not taken what was sent
  // before, Unavailable where it is gone. `descriptor` (-1: none) stays the
  // caller's.
  absl::Status Send(absl::string_view text, int descriptor = -1) const;
  // DeadlineExceeded, or Unavailable where the peer is gone or Shutdown was
  // called.
  absl::StatusOr<LocalMessage> Receive(absl::Time deadline) const;
  // Both ends' Receive returns from now on.
  void Shutdown() const;

  // The user that the peer runs as.
  absl::StatusOr<uid_t> PeerUser() const;

 private:
  friend class LocalListener;
  explicit LocalSocket(UniqueDescriptor descriptor)
      : descriptor_(std::move(descriptor)) {}
  UniqueDescriptor descriptor_;
};

// Accept and Close may be called at the same time from different threads.
class LocalListener {
 public:
  // A socket that a dead process left at `path` is replaced. Only this
  // process's user can connect. The path is removed at the end.
  static absl::StatusOr<LocalListener> Listen(const std::string& path);
  LocalListener(LocalListener&&) = default;
  ~LocalListener();

  // Cancelled after Close.
  absl::StatusOr<LocalSocket> Accept() const;
  void Close() const;

 private:
  LocalListener(UniqueDescriptor descriptor, std::string path)
      : descriptor_(std::move(descriptor)), path_(std::move(path)) {}
  UniqueDescriptor descriptor_;
  std::string path_;
};

}  // namespace tfd::net

#endif  // TFD_COMMON_NET_LOCAL_SOCKET_H_
