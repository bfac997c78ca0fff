#include "ps/shared_shard_server.h"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/net/server.h"
#include "common/status.h"
#include "common/version.h"
#include "ps/shared_link.h"
#include "tfd/v1/shard.pb.h"

namespace tfd::ps {
namespace {

constexpr absl::Duration kHelloPatience = absl::Seconds(5);
// No file descriptor left, say: accepting goes on when others have ended.
constexpr absl::Duration kAcceptRetry = absl::Milliseconds(100);

StreamSender SenderOf(const v1::MemoryHello& hello) {
  return {hello.generation(), hello.slot(), hello.incarnation()};
}

absl::Status CheckHello(const net::LocalSocket& socket,
                        const v1::MemoryHello& hello, const std::string& token,
                        const ShardHost& host) {
  TFD_ASSIGN_OR_RETURN(const uid_t user, socket.PeerUser());
  if (user != geteuid()) {
    return absl::PermissionDeniedError(absl::StrCat(
        "the peer runs as user ", user, ", this task as ", geteuid()));
  }
  TFD_RETURN_IF_ERROR(net::CheckToken(hello.token(), token));
  if (hello.protocol_version() != kProtocolVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "protocol_version: the worker speaks ", hello.protocol_version(),
        ", this shard ", kProtocolVersion, "; use programs of one version"));
  }
  return host.CheckStream(SenderOf(hello));
}

}  // namespace

// What answers hold on to: they may come after the connection's end.
struct SharedShardServer::ReplySide {
  absl::Mutex mutex;
  // Null once nobody can be answered.
  SharedLink* link ABSL_GUARDED_BY(mutex) = nullptr;
};

void SharedShardServer::Reply(ReplySide& side, const ShardReply& reply) {
  SharedSlot slot;
  const SharedMemory* memory = nullptr;
  if (reply.parameters) {
    slot.place = reply.parameters.place(reply.header.payload_type);
    if (slot.place.segment == 0) {
      return Reply(
          side,
          ErrorReply(
              {0, reply.header.kind, 0, reply.header.step, reply.header.chunk},
              absl::UnavailableError("there is no shared memory left for it")));
    }
    memory = &reply.parameters.pool().segment(slot.place.segment);
  }
  slot.header_bytes = static_cast<uint32_t>(
      tensor::EncodeChunkHeader(reply.header, absl::MakeSpan(slot.header)));
  absl::MutexLock lock(&side.mutex);
  if (side.link == nullptr) return;
  const absl::Status sent = side.link->Send(slot, memory);
  // The worker connects again, or is gone.
  if (!sent.ok()) side.link->Close();
}

// One worker, from its hello to its end.
class SharedShardServer::Connection {
 public:
  Connection(net::LocalSocket socket, const std::string& token, ShardHost* host)
      : socket_(std::move(socket)), token_(token), host_(host) {
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "shared-shard");
      const absl::Status ended = Run();
      spdlog::debug("a worker's shared memory: {}",
                    std::string(ended.message()));
      ended_.store(true);
    });
  }
  ~Connection() {
    Close();
    thread_.join();
  }

  bool ended() const { return ended_.load(); }
  void Close() {
    socket_.Shutdown();
    absl::MutexLock lock(&replies_->mutex);
    if (replies_->link != nullptr) replies_->link->Close();
  }

 private:
  absl::Status Run() {
    TFD_ASSIGN_OR_RETURN(net::LocalMessage message,
                         socket_.Receive(absl::Now() + kHelloPatience));
    v1::MemoryHello hello;
    if (!hello.ParseFromString(message.text)) {
      return absl::InvalidArgumentError("the hello cannot be read");
    }
    v1::MemoryWelcome welcome;
    absl::Status status = CheckHello(socket_, hello, token_, *host_);
    std::unique_ptr<SharedMemory> ring;
    if (status.ok()) {
      absl::StatusOr<std::unique_ptr<SharedMemory>> made =
          MakeSharedRing(SharedRingCapacity(hello.capacity()));
      status = made.status();
      if (made.ok()) ring = *std::move(made);
    }
    welcome.set_protocol_version(kProtocolVersion);
    welcome.set_code(static_cast<int>(status.code()));
    welcome.set_message(std::string(status.message()).substr(0, 1024));
    TFD_RETURN_IF_ERROR(
        socket_.Send(welcome.SerializeAsString(),
                     ring == nullptr ? -1 : ring->descriptor()));
    TFD_RETURN_IF_ERROR(status);
    Shard* const shard = host_->shard();
    TFD_ASSIGN_OR_RETURN(
        const std::unique_ptr<SharedLink> link,
        SharedLink::Create(&socket_, std::move(ring),
                           std::move(message.descriptor), hello.capacity(),
                           shard->layout().chunk_elements() * sizeof(float)));
    {
      absl::MutexLock lock(&replies_->mutex);
      replies_->link = link.get();
    }
    host_->StreamBegins();
    const StreamSender sender = SenderOf(hello);
    status = link->Run([&](tensor::ByteSpan header, tensor::Payload payload) {
      TFD_RETURN_IF_ERROR(host_->CheckFence(sender));
      return Take(*shard, header, std::move(payload));
    });
    host_->StreamEnds();
    // The worker learns of it, too.
    socket_.Shutdown();
    absl::MutexLock lock(&replies_->mutex);
    replies_->link = nullptr;
    return status;
  }

  absl::Status Take(Shard& shard, tensor::ByteSpan header,
                    tensor::Payload payload) {
    TFD_ASSIGN_OR_RETURN(const tensor::ChunkRequest request,
                         tensor::ParseChunkRequestHeader(header));
    shard.Handle({request, std::move(payload)},
                 [replies = replies_](const ShardReply& reply) {
                   Reply(*replies, reply);
                 });
    return absl::OkStatus();
  }

  const net::LocalSocket socket_;
  const std::string& token_;
  ShardHost* const host_;
  const std::shared_ptr<ReplySide> replies_ = std::make_shared<ReplySide>();
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

absl::StatusOr<std::unique_ptr<SharedShardServer>> SharedShardServer::Start(
    const std::string& path, const std::string& token, ShardHost* host) {
  TFD_ASSIGN_OR_RETURN(net::LocalListener listener,
                       net::LocalListener::Listen(path));
  return std::unique_ptr<SharedShardServer>(
      new SharedShardServer(std::move(listener), token, host));
}

SharedShardServer::SharedShardServer(net::LocalListener listener,
                                     std::string token, ShardHost* host)
    : listener_(std::move(listener)), token_(std::move(token)), host_(host) {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "shared-accept");
    Accept();
  });
}

SharedShardServer::~SharedShardServer() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  listener_.Close();
  thread_.join();
  absl::MutexLock lock(&mutex_);
  connections_.clear();
}

void SharedShardServer::Accept() {
  while (true) {
    absl::StatusOr<net::LocalSocket> socket = listener_.Accept();
    absl::MutexLock lock(&mutex_);
    if (stopping_ || absl::IsCancelled(socket.status())) return;
    if (!socket.ok()) {
      spdlog::warn("{}", std::string(socket.status().message()));
      mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kAcceptRetry);
      continue;
    }
    connections_.erase(std::remove_if(connections_.begin(), connections_.end(),
                                      [](const auto& connection) {
                                        return connection->ended();
                                      }),
                       connections_.end());
    connections_.push_back(
        std::make_unique<Connection>(*std::move(socket), token_, host_));
  }
}

}  // namespace tfd::ps
