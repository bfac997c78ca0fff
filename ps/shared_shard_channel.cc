#include <pthread.h>
#include <spdlog/spdlog.h>

#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "common/net/local_socket.h"
#include "common/status.h"
#include "common/version.h"
#include "ps/shard_channel.h"
#include "ps/shared_link.h"

namespace tfd::ps {
namespace {

// The shard is on this host and has been opened: it answers at once.
constexpr absl::Duration kWelcomePatience = absl::Seconds(5);

// Owns the thread that takes answers. Holds no payload in its record: what a
// shard still reads when the stream has ended is only repeated to it, never
// other data, since the step waits for its answer.
class SharedStream final : public ShardStream {
 public:
  SharedStream(net::LocalSocket socket, std::vector<const SharedMemory*> memory)
      : ShardStream(/*in_place=*/true),
        socket_(std::move(socket)),
        memory_(std::move(memory)) {}

  ~SharedStream() override {
    Close();
    if (!thread_.joinable()) return;
    // The last reference may be dropped by what on_closed has called.
    if (thread_.get_id() == std::this_thread::get_id()) {
      thread_.detach();
    } else {
      thread_.join();
    }
  }

  // Rings and the hello. Nothing has to be closed where it fails.
  absl::Status Connect(const ShardChannelOptions& options) {
    v1::MemoryHello hello;
    hello.set_protocol_version(kProtocolVersion);
    hello.set_token(options.token);
    hello.set_slot(options.slot);
    hello.set_generation(options.generation);
    hello.set_incarnation(options.incarnation);
    hello.set_capacity(SharedRingCapacity(options.max_in_flight));
    TFD_ASSIGN_OR_RETURN(std::unique_ptr<SharedMemory> ring,
                         MakeSharedRing(hello.capacity()));
    TFD_RETURN_IF_ERROR(
        socket_.Send(hello.SerializeAsString(), ring->descriptor()));
    TFD_ASSIGN_OR_RETURN(net::LocalMessage message,
                         socket_.Receive(absl::Now() + kWelcomePatience));
    v1::MemoryWelcome welcome;
    if (!welcome.ParseFromString(message.text)) {
      return absl::InternalError("the shard's welcome cannot be read");
    }
    if (welcome.code() != 0) {
      return absl::Status(static_cast<absl::StatusCode>(welcome.code()),
                          welcome.message());
    }
    TFD_ASSIGN_OR_RETURN(
        link_, SharedLink::Create(&socket_, std::move(ring),
                                  std::move(message.descriptor),
                                  hello.capacity(), options.max_payload_bytes));
    return absl::OkStatus();
  }

  void Start(StreamEvents events) {
    thread_ = std::thread([this, events = std::move(events)] {
      pthread_setname_np(pthread_self(), "shared-stream");
      const absl::Status ended = Annotate(
          link_->Run([&](tensor::ByteSpan header, tensor::Payload payload) {
            return Take(events, header, std::move(payload));
          }),
          "shared memory");
      // Nothing of this object is touched once it was told.
      const auto on_closed = events.on_closed;
      on_closed(ended);
    });
  }

  void Send(const tensor::ChunkRequest& header,
            tensor::ByteSpan payload) override {
    SharedSlot slot;
    const SharedMemory* memory = nullptr;
    if (!payload.empty()) {
      memory = Place(payload, &slot.place);
      if (memory == nullptr) {
        spdlog::error("chunk {} is not in memory that is shared", header.chunk);
        return Close();
      }
    }
    slot.header_bytes = static_cast<uint32_t>(
        tensor::EncodeChunkHeader(header, absl::MakeSpan(slot.header)));
    record()->bytes_sent += slot.header_bytes + payload.size();
    if (!link_->Send(slot, memory).ok()) Close();
  }

  void Close() override { socket_.Shutdown(); }

 private:
  const SharedMemory* Place(tensor::ByteSpan payload,
                            SharedPlace* place) const {
    for (size_t i = 0; i < memory_.size(); ++i) {
      if (!memory_[i]->Contains(payload.data(), payload.size())) continue;
      place->segment = static_cast<uint32_t>(i + 1);
      place->offset =
          static_cast<uint64_t>(payload.data() - memory_[i]->data());
      place->bytes = payload.size();
      return memory_[i];
    }
    return nullptr;
  }

  absl::Status Take(const StreamEvents& events, tensor::ByteSpan header,
                    tensor::Payload payload) {
    record()->bytes_received += header.size() + payload.size_bytes();
    TFD_ASSIGN_OR_RETURN(tensor::ChunkReply reply,
                         tensor::ParseChunkReplyHeader(header));
    events.on_reply({std::move(reply), std::move(payload)});
    return absl::OkStatus();
  }

  const net::LocalSocket socket_;
  const std::vector<const SharedMemory*> memory_;
  std::unique_ptr<SharedLink> link_;
  std::thread thread_;
};

class SharedShardChannel final : public ShardChannel {
 public:
  SharedShardChannel(ShardChannelOptions options,
                     std::unique_ptr<ShardChannel> fallback)
      : options_(std::move(options)), fallback_(std::move(fallback)) {}

  void Open(const v1::OpenRequest& request, absl::Time deadline,
            OpenDone done) override {
    fallback_->Open(request, deadline, std::move(done));
  }
  void CancelOpen() override { fallback_->CancelOpen(); }

  std::shared_ptr<ShardStream> Connect(StreamEvents events) override {
    absl::StatusOr<std::shared_ptr<SharedStream>> stream = ConnectShared();
    if (stream.ok()) {
      (*stream)->Start(std::move(events));
      return *std::move(stream);
    }
    spdlog::warn("tensors go over a socket, though {} is on this host: {}",
                 options_.memory_path, std::string(stream.status().message()));
    return fallback_->Connect(std::move(events));
  }

 private:
  absl::StatusOr<std::shared_ptr<SharedStream>> ConnectShared() const {
    TFD_ASSIGN_OR_RETURN(net::LocalSocket socket,
                         net::LocalSocket::Connect(options_.memory_path));
    auto stream =
        std::make_shared<SharedStream>(std::move(socket), options_.memory);
    TFD_RETURN_IF_ERROR(stream->Connect(options_));
    return stream;
  }

  const ShardChannelOptions options_;
  const std::unique_ptr<ShardChannel> fallback_;
};

}  // namespace

std::unique_ptr<ShardChannel> MakeSharedShardChannel(
    ShardChannelOptions options, std::unique_ptr<ShardChannel> fallback) {
  return std::make_unique<SharedShardChannel>(std::move(options),
                                              std::move(fallback));
}

}  // namespace tfd::ps
