// Messages of the exchange with any bytes: nothing crashes, what is accepted is
// what protobuf reads, and a shard goes on as if a refused one had never come.
#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "ps/shard.h"
#include "tensor/chunk_codec.h"
#include "tensor/layout.h"
#include "tfd/v1/shard.pb.h"

namespace tfd {
namespace {

constexpr uint64_t kGeneration = 3;
constexpr uint32_t kElements = 8;
constexpr size_t kMaxPayloadBytes = 2 * kElements * sizeof(float);

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "chunk_fuzz: %s\n", what);
  std::abort();
}

void Require(bool holds, const char* what) {
  if (!holds) Fail(what);
}

class NoSnapshots : public ps::SnapshotSink {
 public:
  void Add(int64_t, ps::ChunkSnapshot) override {}
  void WhenThereIsRoom(int64_t, std::function<void()> go_on) override {
    go_on();
  }
};

tensor::Layout TwoSlotsOneChunk() {
  tensor::LayoutParts parts;
  parts.members = {"worker/0", "worker/1"};
  parts.shards = {"ps/0"};
  parts.tensors = {{"weight", {kElements}}};
  parts.chunk_elements = 1024;
  auto layout = tensor::Layout::Build(parts);
  Require(layout.ok(), "there is no layout");
  return *std::move(layout);
}

std::unique_ptr<ps::Shard> NewShard(ps::SnapshotSink* snapshots) {
  static const tensor::Layout& layout = *new tensor::Layout(TwoSlotsOneChunk());
  ps::ShardOptions options;
  options.generation = kGeneration;
  options.optimizer.set_name(v1::OptimizerSpec::SGD);
  options.optimizer.set_lr(0.1);
  options.strategy.set_sync(v1::StrategySpec::BSP);
  options.nan = v1::ExchangeSpec::IGNORE;
  options.payload = tensor::NumberType::kBfloat16;
  options.total_steps = 1 << 20;
  options.share_memory = false;
  auto shard = ps::Shard::Create(options, layout, snapshots);
  Require(shard.ok(), "there is no shard");
  return *std::move(shard);
}

tensor::ReceivedRequest ValidRequest(v1::ChunkKind kind, uint32_t slot,
                                     int64_t step) {
  auto values = std::make_shared<std::vector<float>>(kElements, 1.0f);
  tensor::ReceivedRequest request;
  request.header.generation = kGeneration;
  request.header.kind = kind;
  request.header.slot = slot;
  request.header.step = static_cast<uint64_t>(step);
  request.header.weight = 1;
  request.payload = tensor::Payload({tensor::AsBytes(*values)}, values);
  return request;
}

// As a message may arrive: in slices, cut where `cuts` says.
grpc::ByteBuffer InSlices(absl::Span<const uint8_t> bytes, uint8_t cuts) {
  std::vector<grpc::Slice> slices;
  size_t begin = 0;
  while (begin < bytes.size()) {
    const size_t size =
        std::min<size_t>(bytes.size() - begin, cuts == 0 ? bytes.size() : cuts);
    slices.emplace_back(bytes.data() + begin, size);
    begin += size;
    cuts = static_cast<uint8_t>(cuts * 7 + 3);
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

void DeliverRequest(const grpc::ByteBuffer& message,
                    absl::Span<const uint8_t> bytes) {
  auto request = tensor::ParseChunkRequest(message, kMaxPayloadBytes);
  if (!request.ok()) return;
  v1::ChunkRequest expected;
  Require(expected.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())),
          "a request was accepted that protobuf refuses");
  const tensor::ChunkRequest& header = request->header;
  Require(
      header.generation == expected.generation() &&
          header.kind == expected.kind() && header.slot == expected.slot() &&
          header.step == expected.step() && header.chunk == expected.chunk() &&
          header.idle == expected.idle() && header.batch == expected.batch() &&
          request->payload.size_bytes() == expected.payload().size(),
      "a request was read otherwise than protobuf reads it");

  NoSnapshots snapshots;
  const std::unique_ptr<ps::Shard> shard = NewShard(&snapshots);
  const auto ignore = [](const ps::ShardReply&) {};
  shard->Handle(ValidRequest(v1::INIT, 0, 0), ignore);
  shard->Handle(*std::move(request), ignore);
  // Half of a step at most: the other slot is missing.
  Require(shard->step() == 0, "one request completed a step of two slots");
  shard->Handle(ValidRequest(v1::PUSH, 0, 0), ignore);
  shard->Handle(ValidRequest(v1::PUSH, 1, 0), ignore);
  Require(shard->step() == 1, "the shard does not go on");
}

void ReadReply(const grpc::ByteBuffer& message,
               absl::Span<const uint8_t> bytes) {
  const auto reply = tensor::ParseChunkReply(message, kMaxPayloadBytes);
  if (!reply.ok()) return;
  v1::ChunkReply expected;
  // protobuf also refuses text that is no UTF-8; here it is only shown.
  if (!expected.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return;
  }
  Require(reply->header.kind == expected.kind() &&
              reply->header.chunk == expected.chunk() &&
              reply->header.step == expected.step() &&
              reply->header.code == expected.code() &&
              reply->payload.size_bytes() == expected.payload().size(),
          "a reply was read otherwise than protobuf reads it");
}

void ReadHeaders(absl::Span<const uint8_t> bytes) {
  const tensor::ByteSpan span(reinterpret_cast<const std::byte*>(bytes.data()),
                              bytes.size());
  tensor::ParseChunkRequestHeader(span).IgnoreError();
  tensor::ParseChunkReplyHeader(span).IgnoreError();
}

}  // namespace
}  // namespace tfd

// The first byte says what is read, the second how it is cut into slices.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  google::protobuf::LogSilencer silence;
  const absl::Span<const uint8_t> bytes(data + 2, size - 2);
  const grpc::ByteBuffer message = tfd::InSlices(bytes, data[1]);
  switch (data[0] % 3) {
    case 0:
      tfd::DeliverRequest(message, bytes);
      break;
    case 1:
      tfd::ReadReply(message, bytes);
      break;
    default:
      tfd::ReadHeaders(bytes);
  }
  return 0;
}
