#include "common/net/listen_check.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "common/net/unix_path.h"
#include "common/status.h"
#include "common/unique_descriptor.h"

namespace tfd::net {
namespace {

std::string DescribeProcess(absl::string_view pid) {
  std::string name;
  std::getline(std::ifstream(absl::StrCat("/proc/", pid, "/comm")), name);
  return name.empty() ? absl::StrCat("process ", pid)
                      : absl::StrCat(name, " (process ", pid, ")");
}

// The inode of the socket that listens on `port`, from the system's own table;
// empty where none is seen.
std::string ListeningInode(const char* table, int port) {
  constexpr absl::string_view kListening = "0A";
  const std::string port_end = absl::StrFormat(":%04X", port);
  std::ifstream lines(table);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, queues, timer, retries, user,
        timeout, inode;
    fields >> slot >> local >> remote >> state >> queues >> timer >> retries >>
        user >> timeout >> inode;
    if (state == kListening && absl::EndsWith(local, port_end)) return inode;
  }
  return "";
}

// Which process holds the socket; empty where it is another user's.
std::string HolderOf(const std::string& inode) {
  const std::string wanted = absl::StrCat("socket:[", inode, "]");
  std::error_code error;
  for (std::filesystem::directory_iterator process("/proc", error), end;
       !error && process != end; process.increment(error)) {
    const std::string pid = process->path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code denied;
    for (std::filesystem::directory_iterator
             descriptor(process->path() / "fd", denied),
         last;
         !denied && descriptor != last; descriptor.increment(denied)) {
      std::error_code gone;
      if (std::filesystem::read_symlink(descriptor->path(), gone) == wanted) {
        return DescribeProcess(pid);
      }
    }
  }
  return "";
}

std::string WhoListens(int port) {
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    const std::string inode = ListeningInode(table, port);
    if (!inode.empty()) return HolderOf(inode);
  }
  return "";
}

absl::Status ListenError(int error, const std::string& host_port, int port) {
  if (error != EADDRINUSE) {
    return ErrnoStatus(error, absl::StrCat("cannot listen on ", host_port));
  }
  const std::string who = WhoListens(port);
  return absl::FailedPreconditionError(absl::StrCat(
      "port ", port, " (", host_port, ") is already in use by ",
      who.empty() ? "another process" : who,
      "; stop that one, or choose another port (0 lets the system choose)"));
}

// Binds and gives back at once: gRPC's own bind follows within microseconds.
int TryBind(const sockaddr* address, socklen_t size) {
  const UniqueDescriptor socket_descriptor(
      socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket_descriptor.valid()) return errno;
  const int on = 1;
  setsockopt(socket_descriptor.get(), SOL_SOCKET, SO_REUSEADDR, &on,
             sizeof(on));
  if (bind(socket_descriptor.get(), address, size) != 0) return errno;
  return listen(socket_descriptor.get(), 1) == 0 ? 0 : errno;
}

// 0 where `host` is no address of the loopback interface.
int BindErrorOnLoopback(const std::string& host, int port, bool* is_loopback) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(static_cast<uint16_t>(port));
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = v4.sin_port;
  *is_loopback = true;
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1 &&
      ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET) {
    return TryBind(reinterpret_cast<const sockaddr*>(&v4), sizeof(v4));
  }
  if (host == "[::1]") {
    v6.sin6_addr = in6addr_loopback;
    return TryBind(reinterpret_cast<const sockaddr*>(&v6), sizeof(v6));
  }
  *is_loopback = false;
  return 0;
}

// Connects, and tells who is at the other end; errno where nobody is.
int WhoServes(const std::string& path, std::string* who) {
  const UniqueDescriptor client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!client.valid()) return errno;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (connect(client.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    return errno;
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  getsockopt(client.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
  *who = DescribeProcess(absl::StrCat(peer.pid));
  return 0;
}

absl::Status RemoveStale(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return ErrnoStatus(errno, absl::StrCat("cannot look at ", path));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path,
                     " is there and is no Unix socket; remove it or "
                     "choose another path"));
  }
  std::string who;
  const int error = WhoServes(path, &who);
  if (error == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(who, " already serves on the Unix socket ", path,
                     "; stop it, or choose another path"));
  }
  if (error != ECONNREFUSED) {
    return ErrnoStatus(error, absl::StrCat("cannot find out whether anybody "
                                           "serves on ",
                                           path));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("cannot remove the socket ", path,
                                           " that a dead process left"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TcpAddress> CheckTcp(const std::string& host_port) {
  TcpAddress address;
  const size_t colon = host_port.rfind(':');
  if (colon == std::string::npos ||
      !absl::SimpleAtoi(host_port.substr(colon + 1), &address.port) ||
      address.port < 0 || address.port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", host_port,
        "\" is nothing to listen on; write HOST:PORT, e.g. 127.0.0.1:7070 "
        "(port 0 lets the system choose)"));
  }
  address.host = host_port.substr(0, colon);
  if (address.host == "localhost") address.host = "127.0.0.1";
  bool is_loopback = false;
  const int error =
      BindErrorOnLoopback(address.host, address.port, &is_loopback);
  if (!is_loopback) {
    return absl::InvalidArgumentError(absl::StrCat(
        "refused to listen on ", host_port,
        ": without TLS and tokens, which come later, only this machine may "
        "connect; use 127.0.0.1:",
        address.port));
  }
  if (error != 0) return ListenError(error, host_port, address.port);
  return address;
}

absl::StatusOr<std::string> PrepareUnixPath(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error) return ErrnoStatus(error.value(), path);
  TFD_RETURN_IF_ERROR(CheckUnixPathLength(absolute.string()));
  const std::filesystem::path folder = absolute.parent_path();
  if (!std::filesystem::exists(folder, error) &&
      mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoStatus(
        errno, absl::StrCat("cannot create the folder ", folder.string(),
                            " of the Unix socket"));
  }
  TFD_RETURN_IF_ERROR(RemoveStale(absolute.string()));
  return absolute.string();
}

}  // namespace tfd::net
