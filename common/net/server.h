// The one factory of gRPC servers.
#ifndef TFD_COMMON_NET_SERVER_H_
#define TFD_COMMON_NET_SERVER_H_

#include <grpcpp/server.h>
#include <grpcpp/server_context.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tfd/v1/job.pb.h"

namespace grpc {
class Service;
}

namespace tfd::net {

struct ServerOptions {
  // host:port to listen on; port 0 lets the system choose; empty: no TCP.
  // Anything but loopback is refused for now (TLS and tokens come first).
  std::string tcp = "127.0.0.1:0";
  // The path of a Unix socket to listen on; empty: none. One left behind by a
  // dead process is replaced; a living one's is refused, naming it.
  std::string unix_path;
  // Told to peers as part of the endpoint; somebody else listens there.
  std::string memory_path;
  // Messages larger than this are refused.
  int max_message_bytes = 64 << 20;
};

// A running server. Stop, or the destructor, ends it. Thread-compatible.
class Server {
 public:
  // The services are not owned and outlive the server. A port or socket in use
  // is a FailedPrecondition that names it and what to do.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ServerOptions& options,
      const std::vector<grpc::Service*>& services);
  ~Server();

  // Where it listens, with the actual port.
  const v1::Endpoint& endpoint() const { return endpoint_; }
  // New calls are refused; running ones have `grace` and are then cancelled.
  void Stop(absl::Duration grace = absl::ZeroDuration());

 private:
  Server() = default;
  std::unique_ptr<grpc::Server> server_;
  v1::Endpoint endpoint_;
};

// Unauthenticated unless the call carries `token` (compared in constant time).
// An empty token asks for none.
absl::Status CheckToken(const grpc::ServerContextBase& context,
                        const std::string& token);

// In two steps, for a server that learns later which token to ask for: what the
// call presents (empty: nothing), and the check of it.
std::string PresentedToken(const grpc::ServerContextBase& context);
absl::Status CheckToken(const std::string& presented, const std::string& token);

}  // namespace tfd::net

#endif  // TFD_COMMON_NET_SERVER_H_
