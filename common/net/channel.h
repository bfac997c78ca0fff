// The one factory of gRPC channels: credentials, limits and keep-alive are
// decided here and nowhere else.
#ifndef TFD_COMMON_NET_CHANNEL_H_
#define TFD_COMMON_NET_CHANNEL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace tfd::net {

struct DialOptions {
  // A connection of its own, not shared with other channels to this target.
  bool own_connection = false;
};

// Connects lazily. `target` is "HOST:PORT" or "unix:PATH". Messages may be of
// any size; servers bound theirs.
std::shared_ptr<grpc::Channel> Dial(const std::string& target,
                                    const DialOptions& options = {});

// "authorization: Bearer TOKEN" on the call; nothing for an empty token.
void AddToken(grpc::ClientContext& context, const std::string& token);

// The call ends with DeadlineExceeded after `timeout`.
void SetTimeout(grpc::ClientContext& context, absl::Duration timeout);

}  // namespace tfd::net

#endif  // TFD_COMMON_NET_CHANNEL_H_
