// ChunkRequest and ChunkReply (proto/tfd/v1/shard.proto) by hand: a message is
// valid protobuf, but its payload is sent from where it is and read where it
// arrived. The one place that knows their wire format.
#ifndef TFD_TENSOR_CHUNK_CODEC_H_
#define TFD_TENSOR_CHUNK_CODEC_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tensor/accumulate.h"
#include "tensor/number_type.h"
#include "tfd/v1/shard.pb.h"

namespace grpc {
class ByteBuffer;
}

namespace tfd::tensor {

// As in job specs; what is not set is float32.
NumberType NumberTypeOf(v1::ExchangeSpec::Payload payload);

// What says whether memory that a peer may overwrite still holds what was
// announced: as long as `word` is `expected`. (A seqlock's reader.)
struct PayloadVersion {
  const std::atomic<uint64_t>* word = nullptr;
  uint64_t expected = 0;
};

// Bytes that arrived, in one or more spans, kept alive by this object.
// Move-only; thread-compatible.
class Payload {
 public:
  Payload() = default;
  // `owner` keeps the memory of `spans`.
  Payload(absl::Span<const ByteSpan> spans, std::shared_ptr<const void> owner);
  // Bytes in a peer's memory, which is mapped here for reading: nothing has
  // been copied, and holding them costs nothing but the peer's patience.
  static Payload InPlace(ByteSpan bytes, PayloadVersion version,
                         std::shared_ptr<const void> owner);
  Payload(Payload&&) = default;
  Payload& operator=(Payload&&) = default;

  bool in_place() const { return in_place_; }
  // To be asked after the bytes were read: false where the peer may have
  // written others meanwhile.
  bool Unchanged() const;

  absl::Span<const ByteSpan> spans() const {
    return in_place_ ? absl::MakeConstSpan(&place_, size_bytes_ > 0 ? 1 : 0)
                     : absl::MakeConstSpan(spans_);
  }
  size_t size_bytes() const { return size_bytes_; }

 private:
  // Of what is in place there is one span, and nothing is allocated for it.
  std::vector<ByteSpan> spans_;
  ByteSpan place_;
  size_t size_bytes_ = 0;
  bool in_place_ = false;
  PayloadVersion version_;
  std::shared_ptr<const void> owner_;
};

// As in the .proto, without the payload.
struct ChunkRequest {
  uint64_t generation = 0;
  v1::ChunkKind kind = v1::CHUNK_KIND_UNSPECIFIED;
  uint32_t slot = 0;
  uint64_t step = 0;
  uint32_t chunk = 0;
  double weight = 0;
  bool idle = false;
  uint64_t batch = 0;
  // 0: none.
  uint32_t payload_crc32c = 0;
  // Of the payload, and of the answer's.
  NumberType payload_type = NumberType::kFloat32;
  // 0: the payload has all numbers.
  uint32_t entries = 0;
  bool last = false;
};

struct ChunkReply {
  v1::ChunkKind kind = v1::CHUNK_KIND_UNSPECIFIED;
  uint32_t chunk = 0;
  uint64_t step = 0;
  // absl::StatusCode's numbers; 0 is OK.
  int32_t code = 0;
  std::string message;
  NumberType payload_type = NumberType::kFloat32;
};

struct ReceivedRequest {
  ChunkRequest header;
  Payload payload;
};

struct ReceivedReply {
  ChunkReply header;
  Payload payload;
};

// What to call, on any thread, once nobody reads a sent payload any more.
// Called exactly once, also where the message is never sent.
struct PayloadRelease {
  void (*function)(void*) = nullptr;
  void* argument = nullptr;
};

// `payload` is not copied and stays unchanged until `release` is called. An
// empty one is left out, and released at once.
grpc::ByteBuffer EncodeChunkRequest(const ChunkRequest& header,
                                    ByteSpan payload, PayloadRelease release);
grpc::ByteBuffer EncodeChunkReply(const ChunkReply& header, ByteSpan payload,
                                  PayloadRelease release);

// Nothing in a message is trusted: what is cut off, of another wire type, out
// of range, or a payload of more than `max_payload_bytes`, is InvalidArgument
// "chunk request: FIELD: …". Unknown fields are skipped, as protobuf does. The
// result keeps the memory of `message` and nothing else of it.
absl::StatusOr<ReceivedRequest> ParseChunkRequest(
    const grpc::ByteBuffer& message, size_t max_payload_bytes);
absl::StatusOr<ReceivedReply> ParseChunkReply(const grpc::ByteBuffer& message,
                                              size_t max_payload_bytes);

// The same messages without a payload, in at least 128 bytes at `out`; a
// reply's text is cut to what fits. Gives the size.
size_t EncodeChunkHeader(const ChunkRequest& header, absl::Span<char> out);
size_t EncodeChunkHeader(const ChunkReply& header, absl::Span<char> out);
// Checked as whole messages are; a payload in them is refused.
absl::StatusOr<ChunkRequest> ParseChunkRequestHeader(ByteSpan header);
absl::StatusOr<ChunkReply> ParseChunkReplyHeader(ByteSpan header);

// DataLoss where a checksum is set and is not the payload's.
absl::Status CheckPayloadCrc(uint32_t crc32c, const Payload& payload);

}  // namespace tfd::tensor

#endif  // TFD_TENSOR_CHUNK_CODEC_H_
