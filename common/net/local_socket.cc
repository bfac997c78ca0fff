#include "common/net/local_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/net/unix_path.h"
#include "common/poll.h"
#include "common/status.h"

namespace tfd::net {
namespace {

constexpr int kBacklog = 64;

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  TFD_RETURN_IF_ERROR(CheckUnixPathLength(path));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::StatusOr<UniqueDescriptor> NewSocket() {
  UniqueDescriptor descriptor(
      socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!descriptor.valid()) return ErrnoStatus(errno, "opening a Unix socket");
  return descriptor;
}

union DescriptorBuffer {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

}  // namespace

absl::StatusOr<LocalSocket> LocalSocket::Connect(const std::string& path) {
  TFD_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  TFD_ASSIGN_OR_RETURN(UniqueDescriptor descriptor, NewSocket());
  if (connect(descriptor.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    return absl::UnavailableError(
        ErrnoStatus(errno, absl::StrCat("connecting to ", path)).message());
  }
  return LocalSocket(std::move(descriptor));
}

absl::Status LocalSocket::Send(absl::string_view text, int descriptor) const {
  iovec data = {const_cast<char*>(text.data()), text.size()};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  DescriptorBuffer control = {};
  if (descriptor >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof(control.bytes);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
  }
  while (sendmsg(descriptor_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) <
         0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == ENOBUFS) {
      return absl::ResourceExhaustedError("the peer does not read");
    }
    return absl::UnavailableError(
        ErrnoStatus(errno, "sending to the peer").message());
  }
  return absl::OkStatus();
}

absl::StatusOr<LocalMessage> LocalSocket::Receive(absl::Time deadline) const {
  char text[kMaxMessageBytes];
  while (true) {
    if (deadline != absl::InfiniteFuture()) {
      pollfd wait = {descriptor_.get(), POLLIN, 0};
      const absl::Duration left = deadline - absl::Now();
      if (PollUntil(&wait, 1, SteadyNow() + left) == 0) {
        return absl::DeadlineExceededError("the peer has sent nothing");
      }
    }
    iovec data = {text, sizeof(text)};
    msghdr message = {};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    DescriptorBuffer control = {};
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof(control.bytes);
    const ssize_t size = recvmsg(descriptor_.get(), &message, MSG_CMSG_CLOEXEC);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      return absl::UnavailableError(
          size == 0 ? "the peer has closed the connection"
                    : ErrnoStatus(errno, "receiving from the peer").message());
    }
    LocalMessage received;
    received.text.assign(text, static_cast<size_t>(size));
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
      received.descriptor = UniqueDescriptor(descriptor);
    }
    return received;
  }
}

void LocalSocket::Shutdown() const { shutdown(descriptor_.get(), SHUT_RDWR); }

absl::StatusOr<uid_t> LocalSocket::PeerUser() const {
  ucred credentials = {};
  socklen_t size = sizeof(credentials);
  if (getsockopt(descriptor_.get(), SOL_SOCKET, SO_PEERCRED, &credentials,
                 &size) != 0) {
    return ErrnoStatus(errno, "asking who the peer is");
  }
  return credentials.uid;
}

absl::StatusOr<LocalListener> LocalListener::Listen(const std::string& path) {
  TFD_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  TFD_ASSIGN_OR_RETURN(UniqueDescriptor descriptor, NewSocket());
  unlink(path.c_str());
  if (bind(descriptor.get(), reinterpret_cast<const sockaddr*>(&address),
           sizeof(address)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("listening at ", path));
  }
  LocalListener listener(std::move(descriptor), path);
  if (chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 ||
      listen(listener.descriptor_.get(), kBacklog) != 0) {
    return ErrnoStatus(errno, absl::StrCat("listening at ", path));
  }
  return listener;
}

LocalListener::~LocalListener() {
  if (descriptor_.valid()) unlink(path_.c_str());
}

absl::StatusOr<LocalSocket> LocalListener::Accept() const {
  while (true) {
    UniqueDescriptor connection(
        accept4(descriptor_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection.valid()) return LocalSocket(std::move(connection));
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EINVAL) return absl::CancelledError("the listener is closed");
    return ErrnoStatus(errno, absl::StrCat("accepting at ", path_));
  }
}

void LocalListener::Close() const { shutdown(descriptor_.get(), SHUT_RDWR); }

}  // namespace tfd::net
