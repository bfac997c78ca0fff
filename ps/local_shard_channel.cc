#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "ps/shard_channel.h"
#include "ps/shard_host.h"

namespace tfd::ps {
namespace {

// What an answer that comes late finds: the events, or nobody.
struct Receiver {
  absl::Mutex mutex;
  bool closed ABSL_GUARDED_BY(mutex) = false;
  // Calls of on_reply under way.
  int inside ABSL_GUARDED_BY(mutex) = 0;
  StreamEvents events;
};

void TakeReply(Receiver& receiver, ShardReply reply) {
  {
    absl::MutexLock lock(&receiver.mutex);
    if (receiver.closed) return;
    ++receiver.inside;
  }
  tensor::ReceivedReply received;
  received.header = std::move(reply.header);
  if (reply.parameters) {
    auto held = std::make_shared<const ParameterRef>(reply.parameters);
    const tensor::ByteSpan bytes = held->bytes(received.header.payload_type);
    received.payload = tensor::Payload::InPlace(bytes, {}, std::move(held));
  }
  receiver.events.on_reply(std::move(received));
  absl::MutexLock lock(&receiver.mutex);
  --receiver.inside;
}

class LocalStream final : public ShardStream {
 public:
  LocalStream(Shard* shard, std::shared_ptr<const void> payload_owner,
              StreamEvents events)
      : ShardStream(/*in_place=*/true),
        shard_(shard),
        payload_owner_(std::move(payload_owner)) {
    receiver_->events = std::move(events);
  }
  ~LocalStream() override { Close(); }

  void Send(const tensor::ChunkRequest& header,
            tensor::ByteSpan payload) override {
    tensor::ReceivedRequest request;
    request.header = header;
    request.payload = tensor::Payload::InPlace(payload, {}, payload_owner_);
    shard_->Handle(std::move(request),
                   [receiver = receiver_](ShardReply reply) {
                     TakeReply(*receiver, std::move(reply));
                   });
  }

  void Close() override {
    {
      absl::MutexLock lock(&receiver_->mutex);
      if (receiver_->closed) return;
      receiver_->closed = true;
      const auto quiet = [this] {
        receiver_->mutex.AssertReaderHeld();
        return receiver_->inside == 0;
      };
      receiver_->mutex.Await(absl::Condition(&quiet));
    }
    receiver_->events.on_closed(
        absl::UnavailableError("the shard in this process was closed"));
  }

 private:
  Shard* const shard_;
  const std::shared_ptr<const void> payload_owner_;
  const std::shared_ptr<Receiver> receiver_ = std::make_shared<Receiver>();
};

class LocalShardChannel final : public ShardChannel {
 public:
  LocalShardChannel(ShardHost* host, std::shared_ptr<const void> payload_owner)
      : host_(host), payload_owner_(std::move(payload_owner)) {}

  void Open(const v1::OpenRequest& request, absl::Time,
            OpenDone done) override {
    host_->Open(request, std::move(done));
  }
  // The host answers as soon as it has its membership, or is stopped.
  void CancelOpen() override {}

  std::shared_ptr<ShardStream> Connect(StreamEvents events) override {
    return std::make_shared<LocalStream>(host_->shard(), payload_owner_,
                                         std::move(events));
  }

 private:
  ShardHost* const host_;
  const std::shared_ptr<const void> payload_owner_;
};

}  // namespace

std::unique_ptr<ShardChannel> MakeLocalShardChannel(
    ShardHost* host, std::shared_ptr<const void> payload_owner) {
  return std::make_unique<LocalShardChannel>(host, std::move(payload_owner));
}

}  // namespace tfd::ps
