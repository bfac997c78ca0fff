#include "ps/shard_service.h"

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/net/server.h"
#include "common/status.h"
#include "tfd/v1/shard.grpc.pb.h"

namespace tfd::ps {
namespace {

constexpr size_t kMinInFlight = 64;

grpc::ByteBuffer Encode(ShardReply reply) {
  if (!reply.parameters) return tensor::EncodeChunkReply(reply.header, {}, {});
  const tensor::ByteSpan payload =
      reply.parameters.bytes(reply.header.payload_type);
  // gRPC holds this reference until it has sent the last byte.
  return tensor::EncodeChunkReply(
      reply.header, payload,
      {&ParameterRef::Release, reply.parameters.Detach()});
}

// One worker's stream. It owns itself until OnDone; answers that come later
// find it done and are dropped. gRPC's operations are started outside of the
// lock; the flags see to it that at most one read and one write are under way.
class ExchangeStream final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public std::enable_shared_from_this<ExchangeStream> {
 public:
  ExchangeStream(ShardHost* host, const StreamSender& sender)
      : host_(host),
        sender_(sender),
        shard_(host->shard()),
        max_payload_bytes_(shard_->layout().chunk_elements() * sizeof(float)),
        max_in_flight_(std::max<size_t>(
            kMinInFlight, 2 * shard_->layout().slots() * shard_->chunks())) {}

  static ExchangeStream* Start(ShardHost* host, const StreamSender& sender) {
    host->StreamBegins();
    auto stream = std::make_shared<ExchangeStream>(host, sender);
    stream->self_ = stream;
    stream->StartRead(&stream->request_);
    return stream.get();
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      {
        absl::MutexLock lock(&mutex_);
        reading_ = false;
        input_ended_ = true;
      }
      return GoOn();
    }
    if (absl::Status fenced = host_->CheckFence(sender_); !fenced.ok()) {
      {
        absl::MutexLock lock(&mutex_);
        reading_ = false;
        cancelled_ = true;
        end_ = std::move(fenced);
      }
      return GoOn();
    }
    absl::StatusOr<tensor::ReceivedRequest> request =
        tensor::ParseChunkRequest(request_, max_payload_bytes_);
    request_.Clear();
    {
      absl::MutexLock lock(&mutex_);
      ++in_flight_;
    }
    if (request.ok()) {
      shard_->Handle(*std::move(request),
                     [stream = shared_from_this()](ShardReply reply) {
                       stream->Answer(Encode(std::move(reply)));
                     });
    } else {
      Answer(Encode(ErrorReply({}, request.status())));
    }
    {
      absl::MutexLock lock(&mutex_);
      reading_ = false;
    }
    GoOn();
  }

  void OnWriteDone(bool ok) override {
    reply_.Clear();  // while it is still this write's
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
      --in_flight_;
      if (!ok) cancelled_ = true;
    }
    GoOn();
  }

  void OnCancel() override {
    {
      absl::MutexLock lock(&mutex_);
      cancelled_ = true;
    }
    GoOn();
  }

  void OnDone() override {
    // May be the last reference; `self` ends after everything else here.
    const std::shared_ptr<ExchangeStream> self = std::move(self_);
    host_->StreamEnds();
  }

 private:
  void Answer(grpc::ByteBuffer reply) {
    {
      absl::MutexLock lock(&mutex_);
      if (finished_ || cancelled_) return;
      replies_.push_back(std::move(reply));
    }
    GoOn();
  }

  // Starts whatever can be started now.
  void GoOn() {
    bool read = false;
    bool write = false;
    bool finish = false;
    {
      absl::MutexLock lock(&mutex_);
      if (cancelled_) replies_.clear();
      if (!finished_ && !writing_ && !replies_.empty()) {
        reply_.Swap(&replies_.front());
        replies_.pop_front();
        write = writing_ = true;
      }
      if (!reading_ && !input_ended_ && !cancelled_ &&
          in_flight_ < max_in_flight_) {
        read = reading_ = true;
      }
      if (!finished_ && !reading_ && !writing_ &&
          (cancelled_ || input_ended_)) {
        finish = finished_ = true;
      }
    }
    if (write) StartWrite(&reply_);
    if (read) StartRead(&request_);
    if (finish) Finish(ToGrpc(end_));
  }

  ShardHost* const host_;
  const StreamSender sender_;
  Shard* const shard_;
  const size_t max_payload_bytes_;
  const size_t max_in_flight_;
  std::shared_ptr<ExchangeStream> self_;
  // Belong to the read and the write under way.
  grpc::ByteBuffer request_;
  grpc::ByteBuffer reply_;

  absl::Mutex mutex_;
  std::deque<grpc::ByteBuffer> replies_ ABSL_GUARDED_BY(mutex_);
  // Requests read whose answers have not been sent.
  size_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  bool reading_ ABSL_GUARDED_BY(mutex_) = true;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool input_ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  // Written before cancelled_ is.
  absl::Status end_;
};

// A stream that is refused.
class RefusedStream final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit RefusedStream(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

// A number that the stream's metadata must have.
absl::StatusOr<uint64_t> NumberOf(const grpc::CallbackServerContext& context,
                                  const char* key) {
  const auto it = context.client_metadata().find(key);
  uint64_t number = 0;
  if (it == context.client_metadata().end() ||
      !absl::SimpleAtoi(absl::string_view(it->second.data(), it->second.size()),
                        &number)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the stream's metadata has no number ", key));
  }
  return number;
}

using GeneratedService = v1::Shard::WithRawCallbackMethod_Exchange<
    v1::Shard::WithCallbackMethod_Open<v1::Shard::Service>>;

class ShardService final : public GeneratedService {
 public:
  ShardService(ShardHost* host, std::string token)
      : host_(host), token_(std::move(token)) {}

  grpc::ServerUnaryReactor* Open(grpc::CallbackServerContext* context,
                                 const v1::OpenRequest* request,
                                 v1::OpenResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    const absl::Status allowed = net::CheckToken(*context, token_);
    if (!allowed.ok()) {
      reactor->Finish(ToGrpc(allowed));
      return reactor;
    }
    host_->Open(*request, [reactor, response](
                              const absl::StatusOr<v1::OpenResponse>& answer) {
      if (answer.ok()) *response = *answer;
      reactor->Finish(ToGrpc(answer.status()));
    });
    return reactor;
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Exchange(
      grpc::CallbackServerContext* context) override {
    const absl::StatusOr<StreamSender> sender = CheckStream(*context);
    if (!sender.ok()) return new RefusedStream(sender.status());
    return ExchangeStream::Start(host_, *sender);
  }

 private:
  absl::StatusOr<StreamSender> CheckStream(
      const grpc::CallbackServerContext& context) const {
    TFD_RETURN_IF_ERROR(net::CheckToken(context, token_));
    StreamSender sender;
    TFD_ASSIGN_OR_RETURN(sender.generation,
                         NumberOf(context, kGenerationMetadata));
    TFD_ASSIGN_OR_RETURN(sender.slot, NumberOf(context, kSlotMetadata));
    TFD_ASSIGN_OR_RETURN(sender.incarnation,
                         NumberOf(context, kIncarnationMetadata));
    TFD_RETURN_IF_ERROR(host_->CheckStream(sender));
    return sender;
  }

  ShardHost* const host_;
  const std::string token_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeShardService(ShardHost* host,
                                                std::string token) {
  return std::make_unique<ShardService>(host, std::move(token));
}

}  // namespace tfd::ps
