#include "common/net/server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "common/net/endpoint.h"
#include "common/net/grpc_lifetime.h"
#include "common/net/listen_check.h"
#include "common/status.h"

namespace tfd::net {
namespace {

// Clients ping every 20 s (channel.cc); sooner than this would be too often.
constexpr absl::Duration kShortestPingInterval = absl::Seconds(5);
constexpr absl::string_view kBearer = "Bearer ";

// Constant time for texts of equal length, so that a token cannot be guessed
// character by character.
bool EqualSecrets(absl::string_view a, absl::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  }
  return difference == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const ServerOptions& options, const std::vector<grpc::Service*>& services) {
  if (options.tcp.empty() && options.unix_path.empty()) {
    return absl::InvalidArgumentError(
        "a server needs a host:port or the path of a Unix socket to listen on");
  }
  KeepGrpcRunning();
  grpc::ServerBuilder builder;
  // Otherwise a second server on a taken port would get half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      static_cast<int>(absl::ToInt64Milliseconds(kShortestPingInterval)));
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  auto server = std::unique_ptr<Server>(new Server());
  server->endpoint_.set_host_id(HostId());
  TcpAddress tcp;
  int port = 0;
  if (!options.tcp.empty()) {
    TFD_ASSIGN_OR_RETURN(tcp, CheckTcp(options.tcp));
    builder.AddListeningPort(absl::StrCat(tcp.host, ":", tcp.port),
                             grpc::InsecureServerCredentials(), &port);
  }
  if (!options.unix_path.empty()) {
    TFD_ASSIGN_OR_RETURN(const std::string path,
                         PrepareUnixPath(options.unix_path));
    server->endpoint_.set_unix_path(path);
    builder.AddListeningPort(absl::StrCat("unix:", path),
                             grpc::InsecureServerCredentials());
  }
  server->endpoint_.set_memory_path(options.memory_path);
  for (grpc::Service* service : services) builder.RegisterService(service);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cannot listen on ", options.tcp,
        options.tcp.empty() || options.unix_path.empty() ? "" : " and ",
        options.unix_path,
        "; was it taken a moment ago? Try again or choose another"));
  }
  if (!options.tcp.empty()) {
    server->endpoint_.set_tcp(absl::StrCat(tcp.host, ":", port));
  }
  const std::string& path = server->endpoint_.unix_path();
  if (!path.empty() && chmod(path.c_str(), 0600) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot protect ", path));
  }
  return server;
}

Server::~Server() { Stop(); }

void Server::Stop(absl::Duration grace) {
  if (server_ == nullptr) return;
  server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  server_->Wait();
  server_.reset();
}

std::string PresentedToken(const grpc::ServerContextBase& context) {
  const auto range = context.client_metadata().equal_range("authorization");
  for (auto entry = range.first; entry != range.second; ++entry) {
    const absl::string_view value(entry->second.data(), entry->second.size());
    if (absl::StartsWith(value, kBearer)) {
      return std::string(value.substr(kBearer.size()));
    }
  }
  return "";
}

absl::Status CheckToken(const std::string& presented,
                        const std::string& token) {
  if (token.empty() || EqualSecrets(presented, token)) return absl::OkStatus();
  return absl::UnauthenticatedError(
      presented.empty()
          ? "the call carries no token (header authorization: Bearer TOKEN)"
          : "the call carries a wrong token; is it of another job, or of an "
            "earlier start of this one?");
}

absl::Status CheckToken(const grpc::ServerContextBase& context,
                        const std::string& token) {
  return CheckToken(PresentedToken(context), token);
}

}  // namespace tfd::net
