// How an exchange reaches one shard: a handshake and streams of requests. gRPC
// is one way; a shard in this process and shared memory are others to come.
#ifndef TFD_PS_SHARD_CHANNEL_H_
#define TFD_PS_SHARD_CHANNEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tensor/chunk_codec.h"
#include "tfd/v1/shard.pb.h"

namespace tfd::ps {

// Called on the channel's threads, one at a time per stream; must not block.
struct StreamEvents {
  std::function<void(tensor::ReceivedReply)> on_reply;
  // Once, the last one: how the stream ended, never OK.
  std::function<void(const absl::Status&)> on_closed;
};

// Thread-safe.
class ShardStream {
 public:
  virtual ~ShardStream() = default;
  // Never blocks. `payload` is read where it is, until it is on its way; after
  // the stream was closed the request is dropped.
  virtual void Send(const tensor::ChunkRequest& header,
                    tensor::ByteSpan payload) = 0;
  // Ends it; on_closed still comes.
  virtual void Close() = 0;
  // Until nobody reads a payload of this stream any more; false at `deadline`.
  virtual bool WaitUntilReleased(absl::Time deadline) = 0;
  // On the wire so far, without what transports add.
  virtual uint64_t bytes_sent() const = 0;
  virtual uint64_t bytes_received() const = 0;
};

struct ShardChannelOptions {
  std::string target;  // as net::Dial takes it
  std::string token;
  // Whom the streams name as their sender.
  uint32_t slot = 0;
  uint64_t generation = 0;
  // Larger payloads in answers are refused.
  size_t max_payload_bytes = 0;
};

// Thread-safe.
class ShardChannel {
 public:
  virtual ~ShardChannel() = default;
  using OpenDone = std::function<void(const absl::StatusOr<v1::OpenResponse>&)>;
  // One handshake at a time; waits for a connection until `deadline`. `done`
  // is called once, on another thread.
  virtual void Open(const v1::OpenRequest& request, absl::Time deadline,
                    OpenDone done) = 0;
  // Ends an Open under way (Cancelled).
  virtual void CancelOpen() = 0;
  virtual std::shared_ptr<ShardStream> Connect(StreamEvents events) = 0;
};

std::unique_ptr<ShardChannel> MakeGrpcShardChannel(ShardChannelOptions options);

}  // namespace tfd::ps

#endif  // TFD_PS_SHARD_CHANNEL_H_
