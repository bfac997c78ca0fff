#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include <atomic>
#include <deque>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/net/channel.h"
#include "common/status.h"
#include "ps/shard_channel.h"
#include "ps/shard_service.h"
#include "tfd/v1/shard.grpc.pb.h"

namespace tfd::ps {
namespace {

constexpr char kExchangeMethod[] = "/tfd.v1.Shard/Exchange";

void ReleasePayload(void* argument) {
  const std::unique_ptr<std::shared_ptr<StreamRecord>> record(
      static_cast<std::shared_ptr<StreamRecord>*>(argument));
  (*record)->Release();
}

// Held as long as the stream: its call, and the channel that the call refers
// to, are gone when nothing is held any more. (A channel must not end on a
// thread of gRPC's, where the last reference to a call is dropped.)
class RecordHold {
 public:
  explicit RecordHold(std::shared_ptr<StreamRecord> record)
      : record_(std::move(record)) {
    record_->Hold();
  }
  ~RecordHold() { record_->Release(); }
  RecordHold(const RecordHold&) = delete;
  RecordHold& operator=(const RecordHold&) = delete;

 private:
  const std::shared_ptr<StreamRecord> record_;
};

// Owns itself until OnDone. A hold keeps the call open for writes that start
// outside of gRPC's callbacks; it is removed when no more can start.
class GrpcStream final
    : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public ShardStream,
      public std::enable_shared_from_this<GrpcStream> {
 public:
  GrpcStream(StreamEvents events, size_t max_payload_bytes,
             std::shared_ptr<StreamRecord> of)
      : ShardStream(std::move(of)),
        hold_(record()),
        events_(std::move(events)),
        max_payload_bytes_(max_payload_bytes) {}

  void Start(const std::shared_ptr<grpc::Channel>& channel,
             const ShardChannelOptions& options) {
    self_ = shared_from_this();
    net::AddToken(context_, options.token);
    context_.AddMetadata(kSlotMetadata, absl::StrCat(options.slot));
    context_.AddMetadata(kGenerationMetadata, absl::StrCat(options.generation));
    context_.AddMetadata(kIncarnationMetadata,
                         absl::StrCat(options.incarnation));
    grpc::GenericStub(channel).PrepareBidiStreamingCall(
        &context_, kExchangeMethod, grpc::StubOptions(), this);
    AddHold();
    StartRead(&reply_);
    StartCall();
  }

  void Send(const tensor::ChunkRequest& header,
            tensor::ByteSpan payload) override {
    {
      absl::MutexLock lock(&mutex_);
      if (closed_) return;
      queue_.push_back({header, payload});
    }
    GoOn();
  }

  void Close() override {
    {
      absl::MutexLock lock(&mutex_);
      closed_ = true;
    }
    context_.TryCancel();
    GoOn();
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      {
        absl::MutexLock lock(&mutex_);
        closed_ = true;
      }
      return GoOn();
    }
    record()->bytes_received += reply_.Length();
    absl::StatusOr<tensor::ReceivedReply> reply =
        tensor::ParseChunkReply(reply_, max_payload_bytes_);
    reply_.Clear();
    if (!reply.ok()) {
      {
        absl::MutexLock lock(&mutex_);
        broken_ = reply.status();
        closed_ = true;
      }
      context_.TryCancel();
      return GoOn();
    }
    events_.on_reply(*std::move(reply));
    StartRead(&reply_);
  }

  void OnWriteDone(bool ok) override {
    request_.Clear();  // while it is still this write's
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
      if (!ok) closed_ = true;
    }
    GoOn();
  }

  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<GrpcStream> self = std::move(self_);
    absl::Status closed;
    {
      absl::MutexLock lock(&mutex_);
      closed = broken_.ok() ? FromGrpc(status) : broken_;
    }
    if (closed.ok()) {
      closed = absl::UnavailableError("the shard has ended the stream");
    }
    events_.on_closed(closed);
    events_ = {};
  }

 private:
  struct Outgoing {
    tensor::ChunkRequest header;
    tensor::ByteSpan payload;
  };

  void GoOn() {
    Outgoing next;
    bool write = false;
    bool remove_hold = false;
    {
      absl::MutexLock lock(&mutex_);
      if (closed_) {
        queue_.clear();
        if (!writing_ && held_) {
          held_ = false;
          remove_hold = true;
        }
      } else if (!writing_ && !queue_.empty()) {
        next = queue_.front();
        queue_.pop_front();
        write = writing_ = true;
      }
    }
    if (write) {
      record()->Hold();
      request_ = tensor::EncodeChunkRequest(
          next.header, next.payload,
          {&ReleasePayload, new std::shared_ptr<StreamRecord>(record())});
      record()->bytes_sent += request_.Length();
      StartWrite(&request_);
    }
    if (remove_hold) RemoveHold();
  }

  const RecordHold hold_;  // first, so that it ends last
  StreamEvents events_;
  const size_t max_payload_bytes_;
  std::shared_ptr<GrpcStream> self_;
  grpc::ClientContext context_;
  // Belong to the read and the write under way.
  grpc::ByteBuffer reply_;
  grpc::ByteBuffer request_;

  absl::Mutex mutex_;
  // Bounded by the chunks of a step: each is pushed once.
  std::deque<Outgoing> queue_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool held_ ABSL_GUARDED_BY(mutex_) = true;
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);
};

// One stream over several connections: a request takes the next one, whichever
// chunk it is of. The end of one is the end of all.
class StripedStream final : public ShardStream {
 public:
  StripedStream(std::shared_ptr<StreamRecord> record, StreamEvents events)
      : ShardStream(std::move(record)) {
    shared_->events = std::move(events);
  }

  void Start(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
             const ShardChannelOptions& options) {
    {
      absl::MutexLock lock(&shared_->mutex);
      shared_->open = channels.size();
    }
    for (const auto& channel : channels) {
      StreamEvents events;
      events.on_reply = [shared = shared_](tensor::ReceivedReply reply) {
        shared->events.on_reply(std::move(reply));
      };
      events.on_closed = [shared = shared_](const absl::Status& status) {
        shared->OnClosed(status);
      };
      streams_.push_back(std::make_shared<GrpcStream>(
          std::move(events), options.max_payload_bytes, record()));
      streams_.back()->Start(channel, options);
      shared_->Add(streams_.back());
    }
  }

  void Send(const tensor::ChunkRequest& header,
            tensor::ByteSpan payload) override {
    streams_[next_.fetch_add(1, std::memory_order_relaxed) % streams_.size()]
        ->Send(header, payload);
  }

  void Close() override {
    for (const auto& stream : streams_) stream->Close();
  }

 private:
  // What the stripes refer to: they may outlive this object.
  struct Shared {
    void Add(const std::shared_ptr<GrpcStream>& stream) {
      {
        absl::MutexLock lock(&mutex);
        stripes.push_back(stream);
        if (first.ok()) return;
      }
      stream->Close();
    }

    void OnClosed(const absl::Status& status) {
      std::vector<std::weak_ptr<GrpcStream>> others;
      bool last = false;
      absl::Status why;
      {
        absl::MutexLock lock(&mutex);
        if (first.ok()) first = status;
        why = first;
        others.swap(stripes);
        last = --open == 0;
      }
      for (const auto& other : others) {
        if (const auto stream = other.lock()) stream->Close();
      }
      if (last) events.on_closed(why);
    }

    StreamEvents events;
    absl::Mutex mutex;
    std::vector<std::weak_ptr<GrpcStream>> stripes ABSL_GUARDED_BY(mutex);
    size_t open ABSL_GUARDED_BY(mutex) = 0;
    absl::Status first ABSL_GUARDED_BY(mutex);
  };

  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::vector<std::shared_ptr<GrpcStream>> streams_;
  std::atomic<uint32_t> next_{0};
};

class GrpcShardChannel final : public ShardChannel {
 public:
  explicit GrpcShardChannel(ShardChannelOptions options)
      : options_(std::move(options)) {
    // Its own connections: another shard's tensors do not stand in their way.
    for (uint32_t i = 0; i < options_.connections; ++i) {
      channels_.push_back(net::Dial(options_.target, {.own_connection = true}));
    }
    stub_ = v1::Shard::NewStub(channels_[0]);
  }

  void Open(const v1::OpenRequest& request, absl::Time deadline,
            OpenDone done) override {
    auto call = std::make_shared<OpenCall>();
    call->request = request;
    call->context.set_wait_for_ready(true);
    call->context.set_deadline(absl::ToChronoTime(deadline));
    net::AddToken(call->context, options_.token);
    {
      absl::MutexLock lock(&mutex_);
      open_ = call;
    }
    stub_->async()->Open(
        &call->context, &call->request, &call->response,
        [call, done = std::move(done)](const grpc::Status& status) mutable {
          absl::StatusOr<v1::OpenResponse> opened = std::move(call->response);
          if (!status.ok()) opened = FromGrpc(status);
          // The call refers to the channel, which must not end on this thread,
          // one of gRPC's: it would wait for itself. Whoever destroys this
          // object does so after `done`.
          call.reset();
          done(opened);
        });
  }

  void CancelOpen() override {
    std::shared_ptr<OpenCall> call;
    {
      absl::MutexLock lock(&mutex_);
      call = open_.lock();
    }
    if (call != nullptr) call->context.TryCancel();
  }

  std::shared_ptr<ShardStream> Connect(StreamEvents events) override {
    auto record = std::make_shared<StreamRecord>(/*in_place=*/false);
    if (channels_.size() == 1) {
      auto stream = std::make_shared<GrpcStream>(
          std::move(events), options_.max_payload_bytes, std::move(record));
      stream->Start(channels_[0], options_);
      return stream;
    }
    auto stream =
        std::make_shared<StripedStream>(std::move(record), std::move(events));
    stream->Start(channels_, options_);
    return stream;
  }

 private:
  struct OpenCall {
    grpc::ClientContext context;
    v1::OpenRequest request;
    v1::OpenResponse response;
  };

  const ShardChannelOptions options_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::unique_ptr<v1::Shard::Stub> stub_;
  absl::Mutex mutex_;
  std::weak_ptr<OpenCall> open_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

void StreamRecord::Hold() {
  absl::MutexLock lock(&mutex_);
  ++holds_;
}

void StreamRecord::Release() {
  absl::MutexLock lock(&mutex_);
  --holds_;
}

bool StreamRecord::WaitUntilReleased(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const auto released = [this] {
    mutex_.AssertReaderHeld();
    return holds_ == 0;
  };
  return mutex_.AwaitWithDeadline(absl::Condition(&released), deadline);
}

std::unique_ptr<ShardChannel> MakeGrpcShardChannel(
    ShardChannelOptions options) {
  return std::make_unique<GrpcShardChannel>(std::move(options));
}

}  // namespace tfd::ps
