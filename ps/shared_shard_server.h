// Serves a shard to workers of the same host: requests come over rings in
// shared memory, gradients are read where the workers have them, parameters are
// read by the workers where they are here.
#ifndef TFD_PS_SHARED_SHARD_SERVER_H_
#define TFD_PS_SHARED_SHARD_SERVER_H_

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/net/local_socket.h"
#include "ps/shard_host.h"

namespace tfd::ps {

// Owns one thread that accepts and one for each worker that is connected.
class SharedShardServer {
 public:
  // Listens at `path`. Every worker must be of this process's user and bring
  // `token`. `host` outlives the server.
  static absl::StatusOr<std::unique_ptr<SharedShardServer>> Start(
      const std::string& path, const std::string& token, ShardHost* host);
  // Ends all connections.
  ~SharedShardServer();

 private:
  class Connection;
  struct ReplySide;
  static void Reply(ReplySide& side, const ShardReply& reply);
  SharedShardServer(net::LocalListener listener, std::string token,
                    ShardHost* host);
  void Accept();

  const net::LocalListener listener_;
  const std::string token_;
  ShardHost* const host_;

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::unique_ptr<Connection>> connections_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace tfd::ps

#endif  // TFD_PS_SHARED_SHARD_SERVER_H_
