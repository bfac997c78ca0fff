// How an exchange reaches one shard: a handshake and streams of requests. gRPC,
// memory shared with a process of this host, or a shard in this process.
#ifndef TFD_PS_SHARD_CHANNEL_H_
#define TFD_PS_SHARD_CHANNEL_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/shared_memory.h"
#include "tensor/chunk_codec.h"
#include "tfd/v1/shard.pb.h"

namespace tfd::ps {

// Called on the channel's threads, one at a time per stream; must not block.
struct StreamEvents {
  std::function<void(tensor::ReceivedReply)> on_reply;
  // Once, the last one: how the stream ended, never OK.
  std::function<void(const absl::Status&)> on_closed;
};

// What is known of a stream, also after its end. Thread-safe.
class StreamRecord {
 public:
  explicit StreamRecord(bool in_place) : in_place(in_place) {}

  // Payloads stay where they are.
  const bool in_place;
  // On the wire so far, without what transports add.
  std::atomic<uint64_t> bytes_sent{0};
  std::atomic<uint64_t> bytes_received{0};

  // Something reads a payload that was sent, or will; no longer.
  void Hold();
  void Release();
  // Until nobody reads a payload any more; false at `deadline`. Whoever waits
  // must not keep the stream: gRPC may let go of a message only with its call.
  bool WaitUntilReleased(absl::Time deadline);

 private:
  absl::Mutex mutex_;
  int64_t holds_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Thread-safe.
class ShardStream {
 public:
  explicit ShardStream(bool in_place)
      : ShardStream(std::make_shared<StreamRecord>(in_place)) {}
  explicit ShardStream(std::shared_ptr<StreamRecord> record)
      : record_(std::move(record)) {}
  virtual ~ShardStream() = default;
  // Never blocks. `payload` is read where it is, until it is on its way; after
  // the stream was closed the request is dropped.
  virtual void Send(const tensor::ChunkRequest& header,
                    tensor::ByteSpan payload) = 0;
  // Ends it; on_closed still comes.
  virtual void Close() = 0;
  const std::shared_ptr<StreamRecord>& record() const { return record_; }

 private:
  const std::shared_ptr<StreamRecord> record_;
};

struct ShardChannelOptions {
  std::string target;  // as net::Dial takes it
  std::string token;
  // Whom the streams name as their sender.
  uint32_t slot = 0;
  uint64_t generation = 0;
  uint64_t incarnation = 0;
  // Larger payloads in answers are refused.
  size_t max_payload_bytes = 0;
  // Over sockets, requests are spread over so many connections.
  uint32_t connections = 1;
  // Where a shard on this host hands out memory; see v1::Endpoint.
  std::string memory_path;
  // Where payloads lie. Outlives the channel.
  std::vector<const SharedMemory*> memory;
  // Requests that may be unanswered at a time.
  size_t max_in_flight = 0;
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

// Opens over `fallback`, and then exchanges through memory; where that fails,
// its reason is logged and `fallback` does all.
std::unique_ptr<ShardChannel> MakeSharedShardChannel(
    ShardChannelOptions options, std::unique_ptr<ShardChannel> fallback);

class ShardHost;
// To a shard in this process: requests are calls. `host` outlives the channel,
// payloads outlive the host, or lie in what `payload_owner` keeps.
std::unique_ptr<ShardChannel> MakeLocalShardChannel(
    ShardHost* host, std::shared_ptr<const void> payload_owner);

}  // namespace tfd::ps

#endif  // TFD_PS_SHARD_CHANNEL_H_
