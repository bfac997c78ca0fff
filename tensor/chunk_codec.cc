#include "tensor/chunk_codec.h"

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "common/crc32c.h"
#include "common/status.h"

namespace tfd::tensor {
namespace {

// protobuf's wire types.
enum WireType : uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kLengthDelimited = 2,
  kFixed32 = 5,
};

constexpr size_t kMaxVarintBytes = 10;
constexpr size_t kMaxTagBytes = 5;
// Everything of a header but an error's message.
constexpr size_t kMaxFixedHeaderBytes = 128;
constexpr size_t kMaxErrorMessageBytes = 16 << 10;
// Of a reply, without its message's text.
constexpr size_t kMaxReplyFieldsBytes = 48;
constexpr uint32_t kPayloadField = 15;

// ---------------------------------------------------------------- writing

// Appends fields to a buffer that is large enough; zero is left out, as in
// proto3.
class Writer {
 public:
  explicit Writer(char* at) : begin_(at), at_(at) {}

  void Varint(uint32_t field, uint64_t value) {
    if (value == 0) return;
    Raw(field << 3 | kVarint);
    Raw(value);
  }
  void Double(uint32_t field, double value) {
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    if (bits == 0) return;
    Raw(field << 3 | kFixed64);
    Bytes(&bits, sizeof(bits));
  }
  void Fixed32(uint32_t field, uint32_t value) {
    if (value == 0) return;
    Raw(field << 3 | kFixed32);
    Bytes(&value, sizeof(value));
  }
  void String(uint32_t field, absl::string_view text) {
    if (text.empty()) return;
    Length(field, text.size());
    Bytes(text.data(), text.size());
  }
  void Length(uint32_t field, size_t length) {
    Raw(field << 3 | kLengthDelimited);
    Raw(length);
  }
  size_t size() const { return at_ - begin_; }

 private:
  void Raw(uint64_t value) {
    while (value >= 0x80) {
      *at_++ = static_cast<char>(value | 0x80);
      value >>= 7;
    }
    *at_++ = static_cast<char>(value);
  }
  void Bytes(const void* data, size_t size) {
    std::memcpy(at_, data, size);
    at_ += size;
  }

  char* const begin_;
  char* at_;
};

grpc::ByteBuffer WithPayload(const char* header, size_t header_bytes,
                             ByteSpan payload, PayloadRelease release) {
  if (payload.empty()) {
    if (release.function != nullptr) release.function(release.argument);
    const grpc::Slice slice(header, header_bytes);
    return grpc::ByteBuffer(&slice, 1);
  }
  void* data = const_cast<std::byte*>(payload.data());
  const grpc::Slice slices[] = {
      grpc::Slice(header, header_bytes),
      release.function == nullptr
          ? grpc::Slice(data, payload.size(), grpc::Slice::STATIC_SLICE)
          : grpc::Slice(data, payload.size(), release.function,
                        release.argument),
  };
  return grpc::ByteBuffer(slices, 2);
}

// ---------------------------------------------------------------- reading

absl::Status Wrong(absl::string_view field, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", what));
}

// Reads over the slices of a message. `field` is only for messages.
class Cursor {
 public:
  explicit Cursor(absl::Span<const ByteSpan> slices)
      : slices_(slices), left_(TotalBytes(slices)) {}

  bool done() const { return left_ == 0; }
  size_t left() const { return left_; }

  absl::StatusOr<uint64_t> Varint(absl::string_view field) {
    uint64_t value = 0;
    for (size_t i = 0; i < kMaxVarintBytes; ++i) {
      if (left_ == 0) return Wrong(field, "the message ends inside a number");
      const uint8_t byte = NextByte();
      // The tenth byte has room for one bit.
      if (i + 1 == kMaxVarintBytes && byte > 1) break;
      value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
      if ((byte & 0x80) == 0) return value;
    }
    return Wrong(field, "a number of more than 64 bits");
  }

  // A field's number and wire type; as in protobuf, of five bytes at most.
  absl::StatusOr<uint32_t> Tag() {
    const size_t before = left_;
    TFD_ASSIGN_OR_RETURN(const uint64_t tag, Varint("tag"));
    if (before - left_ > kMaxTagBytes ||
        tag > std::numeric_limits<uint32_t>::max()) {
      return Wrong("tag", "a field number of more than 29 bits");
    }
    return static_cast<uint32_t>(tag);
  }

  absl::Status Bytes(absl::string_view field, size_t size, void* out) {
    if (size > left_) {
      return Wrong(field, absl::StrCat("the message ends ", left_,
                                       " bytes into ", size));
    }
    auto* to = static_cast<char*>(out);
    for (size_t i = 0; i < size; ++i) to[i] = static_cast<char>(NextByte());
    return absl::OkStatus();
  }

  // The next `size` bytes (at most left()) as spans; without `spans` they are
  // skipped.
  void Take(size_t size, std::vector<ByteSpan>* spans) {
    left_ -= size;
    while (size > 0) {
      const ByteSpan slice = slices_[slice_];
      const size_t here = std::min(size, slice.size() - offset_);
      if (spans != nullptr && here > 0) {
        spans->push_back(slice.subspan(offset_, here));
      }
      size -= here;
      offset_ += here;
      if (offset_ == slice.size()) {
        ++slice_;
        offset_ = 0;
      }
    }
  }

 private:
  uint8_t NextByte() {
    while (offset_ == slices_[slice_].size()) {
      ++slice_;
      offset_ = 0;
    }
    --left_;
    return static_cast<uint8_t>(slices_[slice_][offset_++]);
  }

  const absl::Span<const ByteSpan> slices_;
  size_t slice_ = 0;
  size_t offset_ = 0;
  size_t left_ = 0;
};

absl::Status SkipField(Cursor& cursor, uint32_t wire_type) {
  size_t size = 0;
  switch (wire_type) {
    case kVarint:
      return cursor.Varint("unknown field").status();
    case kFixed64:
      size = 8;
      break;
    case kFixed32:
      size = 4;
      break;
    case kLengthDelimited: {
      TFD_ASSIGN_OR_RETURN(const uint64_t length,
                           cursor.Varint("unknown field"));
      size = length;
      break;
    }
    default:
      return Wrong("unknown field",
                   absl::StrCat("wire type ", wire_type, " is not supported"));
  }
  if (size > cursor.left()) {
    return Wrong("unknown field", "the message ends inside it");
  }
  cursor.Take(size, nullptr);
  return absl::OkStatus();
}

template <typename Integer>
absl::Status ReadInteger(Cursor& cursor, absl::string_view field,
                         Integer* out) {
  TFD_ASSIGN_OR_RETURN(const uint64_t value, cursor.Varint(field));
  if (value > static_cast<uint64_t>(std::numeric_limits<Integer>::max())) {
    return Wrong(field, absl::StrCat(value, " is out of range"));
  }
  *out = static_cast<Integer>(value);
  return absl::OkStatus();
}

absl::Status ReadBool(Cursor& cursor, absl::string_view field, bool* out) {
  TFD_ASSIGN_OR_RETURN(const uint64_t value, cursor.Varint(field));
  *out = value != 0;
  return absl::OkStatus();
}

absl::Status ReadKind(Cursor& cursor, v1::ChunkKind* out) {
  int number = 0;
  TFD_RETURN_IF_ERROR(ReadInteger(cursor, "kind", &number));
  if (number == 0 || !v1::ChunkKind_IsValid(number)) {
    return Wrong("kind", absl::StrCat(number, " is none of INIT, PUSH, PULL"));
  }
  *out = static_cast<v1::ChunkKind>(number);
  return absl::OkStatus();
}

absl::Status ReadPayloadType(Cursor& cursor, absl::string_view field,
                             NumberType* out) {
  int number = 0;
  TFD_RETURN_IF_ERROR(ReadInteger(cursor, field, &number));
  if (!v1::ExchangeSpec::Payload_IsValid(number)) {
    return Wrong(
        field, absl::StrCat(number, " is none of float32, bfloat16, float16"));
  }
  *out = NumberTypeOf(static_cast<v1::ExchangeSpec::Payload>(number));
  return absl::OkStatus();
}

v1::ExchangeSpec::Payload PayloadTypeOnWire(NumberType type) {
  switch (type) {
    case NumberType::kFloat32:
      return v1::ExchangeSpec::PAYLOAD_UNSPECIFIED;  // is left out
    case NumberType::kBfloat16:
      return v1::ExchangeSpec::BFLOAT16;
    case NumberType::kFloat16:
      return v1::ExchangeSpec::FLOAT16;
  }
  return v1::ExchangeSpec::PAYLOAD_UNSPECIFIED;
}

absl::Status ReadPayload(Cursor& cursor, size_t max_bytes,
                         std::vector<ByteSpan>* spans) {
  TFD_ASSIGN_OR_RETURN(const uint64_t size, cursor.Varint("payload"));
  if (size > max_bytes) {
    return Wrong("payload", absl::StrCat(size, " bytes, where at most ",
                                         max_bytes, " are expected"));
  }
  if (size > cursor.left()) {
    return Wrong("payload", absl::StrCat(size,
                                         " bytes announced, but the "
                                         "message ends after ",
                                         cursor.left()));
  }
  spans->clear();
  cursor.Take(size, spans);
  return absl::OkStatus();
}

// What both messages have: a name for errors, and per field number its name
// and wire type.
struct FieldInfo {
  uint32_t number;
  absl::string_view name;
  uint32_t wire_type;
};

constexpr FieldInfo kRequestFields[] = {
    {1, "generation", kVarint},
    {2, "kind", kVarint},
    {3, "slot", kVarint},
    {4, "step", kVarint},
    {5, "chunk", kVarint},
    {6, "weight", kFixed64},
    {7, "idle", kVarint},
    {8, "batch", kVarint},
    {9, "payload_crc32c", kFixed32},
    {10, "payload_type", kVarint},
    {11, "entries", kVarint},
    {12, "last", kVarint},
    {kPayloadField, "payload", kLengthDelimited}};

constexpr FieldInfo kReplyFields[] = {
    {1, "kind", kVarint},
    {2, "chunk", kVarint},
    {3, "step", kVarint},
    {4, "code", kVarint},
    {5, "message", kLengthDelimited},
    {6, "payload_type", kVarint},
    {kPayloadField, "payload", kLengthDelimited}};

absl::Status ReadRequestField(Cursor& cursor, const FieldInfo& field,
                              ChunkRequest* out) {
  switch (field.number) {
    case 1:
      return ReadInteger(cursor, field.name, &out->generation);
    case 2:
      return ReadKind(cursor, &out->kind);
    case 3:
      return ReadInteger(cursor, field.name, &out->slot);
    case 4:
      return ReadInteger(cursor, field.name, &out->step);
    case 5:
      return ReadInteger(cursor, field.name, &out->chunk);
    case 6:
      return cursor.Bytes(field.name, sizeof(out->weight), &out->weight);
    case 7:
      return ReadBool(cursor, field.name, &out->idle);
    case 8:
      return ReadInteger(cursor, field.name, &out->batch);
    case 10:
      return ReadPayloadType(cursor, field.name, &out->payload_type);
    case 11:
      return ReadInteger(cursor, field.name, &out->entries);
    case 12:
      return ReadBool(cursor, field.name, &out->last);
    default:
      return cursor.Bytes(field.name, sizeof(out->payload_crc32c),
                          &out->payload_crc32c);
  }
}

absl::Status ReadReplyField(Cursor& cursor, const FieldInfo& field,
                            ChunkReply* out) {
  switch (field.number) {
    case 1:
      return ReadKind(cursor, &out->kind);
    case 2:
      return ReadInteger(cursor, field.name, &out->chunk);
    case 3:
      return ReadInteger(cursor, field.name, &out->step);
    case 4:
      return ReadInteger(cursor, field.name, &out->code);
    case 6:
      return ReadPayloadType(cursor, field.name, &out->payload_type);
    default: {
      TFD_ASSIGN_OR_RETURN(const uint64_t size, cursor.Varint(field.name));
      if (size > kMaxErrorMessageBytes) {
        return Wrong(field.name,
                     absl::StrCat(size, " bytes, where at most ",
                                  kMaxErrorMessageBytes, " are expected"));
      }
      out->message.resize(size);
      return cursor.Bytes(field.name, size, out->message.data());
    }
  }
}

// Reads every field of a message; `read_field` takes all but the payload.
template <size_t n, typename ReadField>
absl::Status ReadFields(Cursor cursor, const FieldInfo (&fields)[n],
                        size_t max_payload_bytes, ReadField read_field,
                        std::vector<ByteSpan>* payload) {
  while (!cursor.done()) {
    TFD_ASSIGN_OR_RETURN(const uint32_t tag, cursor.Tag());
    const uint32_t number = tag >> 3;
    const uint32_t wire_type = tag & 7;
    if (number == 0) return Wrong("tag", "field number 0");
    const FieldInfo* field =
        std::find_if(std::begin(fields), std::end(fields),
                     [&](const FieldInfo& f) { return f.number == number; });
    if (field == std::end(fields)) {
      TFD_RETURN_IF_ERROR(SkipField(cursor, wire_type));
      continue;
    }
    if (wire_type != field->wire_type) {
      return Wrong(field->name, absl::StrCat("wire type ", wire_type,
                                             " instead of ", field->wire_type));
    }
    TFD_RETURN_IF_ERROR(number == kPayloadField
                            ? ReadPayload(cursor, max_payload_bytes, payload)
                            : read_field(cursor, *field));
  }
  return absl::OkStatus();
}

template <size_t n, typename ReadField>
absl::StatusOr<Payload> ReadMessage(const grpc::ByteBuffer& message,
                                    const FieldInfo (&fields)[n],
                                    size_t max_payload_bytes,
                                    ReadField read_field) {
  auto slices = std::make_shared<std::vector<grpc::Slice>>();
  if (const grpc::Status status = message.Dump(slices.get()); !status.ok()) {
    return absl::InvalidArgumentError(status.error_message());
  }
  std::vector<ByteSpan> bytes;
  bytes.reserve(slices->size());
  for (const grpc::Slice& slice : *slices) {
    bytes.push_back(
        {reinterpret_cast<const std::byte*>(slice.begin()), slice.size()});
  }
  std::vector<ByteSpan> payload;
  TFD_RETURN_IF_ERROR(ReadFields(Cursor(bytes), fields, max_payload_bytes,
                                 read_field, &payload));
  return Payload(payload, std::move(slices));
}

void WriteHeader(const ChunkRequest& header, Writer& writer) {
  writer.Varint(1, header.generation);
  writer.Varint(2, header.kind);
  writer.Varint(3, header.slot);
  writer.Varint(4, header.step);
  writer.Varint(5, header.chunk);
  writer.Double(6, header.weight);
  writer.Varint(7, header.idle ? 1 : 0);
  writer.Varint(8, header.batch);
  writer.Fixed32(9, header.payload_crc32c);
  writer.Varint(10, PayloadTypeOnWire(header.payload_type));
  writer.Varint(11, header.entries);
  writer.Varint(12, header.last ? 1 : 0);
}

void WriteHeader(const ChunkReply& header, size_t max_message_bytes,
                 Writer& writer) {
  writer.Varint(1, header.kind);
  writer.Varint(2, header.chunk);
  writer.Varint(3, header.step);
  writer.Varint(4, static_cast<uint32_t>(header.code));
  writer.String(5,
                absl::string_view(header.message).substr(0, max_message_bytes));
  writer.Varint(6, PayloadTypeOnWire(header.payload_type));
}

}  // namespace

NumberType NumberTypeOf(v1::ExchangeSpec::Payload payload) {
  switch (payload) {
    case v1::ExchangeSpec::BFLOAT16:
      return NumberType::kBfloat16;
    case v1::ExchangeSpec::FLOAT16:
      return NumberType::kFloat16;
    default:
      return NumberType::kFloat32;
  }
}

Payload::Payload(absl::Span<const ByteSpan> spans,
                 std::shared_ptr<const void> owner)
    : spans_(spans.begin(), spans.end()),
      size_bytes_(TotalBytes(spans_)),
      owner_(std::move(owner)) {}

Payload Payload::InPlace(ByteSpan bytes, PayloadVersion version,
                         std::shared_ptr<const void> owner) {
  Payload payload;
  payload.place_ = bytes;
  payload.size_bytes_ = bytes.size();
  payload.owner_ = std::move(owner);
  payload.in_place_ = true;
  payload.version_ = version;
  return payload;
}

bool Payload::Unchanged() const {
  if (version_.word == nullptr) return true;
    // What was read before is read before the version is looked at. (TSan knows
    // no fences; the writer is another process.)
#ifndef TFD_THREAD_SANITIZER
  std::atomic_thread_fence(std::memory_order_acquire);
#endif
  return version_.word->load(std::memory_order_relaxed) == version_.expected;
}

grpc::ByteBuffer EncodeChunkRequest(const ChunkRequest& header,
                                    ByteSpan payload, PayloadRelease release) {
  char buffer[kMaxFixedHeaderBytes];
  Writer writer(buffer);
  WriteHeader(header, writer);
  if (!payload.empty()) writer.Length(kPayloadField, payload.size());
  return WithPayload(buffer, writer.size(), payload, release);
}

grpc::ByteBuffer EncodeChunkReply(const ChunkReply& header, ByteSpan payload,
                                  PayloadRelease release) {
  const size_t message_bytes =
      std::min(header.message.size(), kMaxErrorMessageBytes);
  absl::InlinedVector<char, kMaxFixedHeaderBytes> buffer(kMaxFixedHeaderBytes +
                                                         message_bytes);
  Writer writer(buffer.data());
  WriteHeader(header, message_bytes, writer);
  if (!payload.empty()) writer.Length(kPayloadField, payload.size());
  return WithPayload(buffer.data(), writer.size(), payload, release);
}

absl::StatusOr<ReceivedRequest> ParseChunkRequest(
    const grpc::ByteBuffer& message, size_t max_payload_bytes) {
  ReceivedRequest request;
  absl::StatusOr<Payload> payload =
      ReadMessage(message, kRequestFields, max_payload_bytes,
                  [&](Cursor& cursor, const FieldInfo& field) {
                    return ReadRequestField(cursor, field, &request.header);
                  });
  if (!payload.ok()) return Annotate(payload.status(), "chunk request");
  request.payload = *std::move(payload);
  return request;
}

absl::StatusOr<ReceivedReply> ParseChunkReply(const grpc::ByteBuffer& message,
                                              size_t max_payload_bytes) {
  ReceivedReply reply;
  absl::StatusOr<Payload> payload =
      ReadMessage(message, kReplyFields, max_payload_bytes,
                  [&](Cursor& cursor, const FieldInfo& field) {
                    return ReadReplyField(cursor, field, &reply.header);
                  });
  if (!payload.ok()) return Annotate(payload.status(), "chunk reply");
  reply.payload = *std::move(payload);
  return reply;
}

size_t EncodeChunkHeader(const ChunkRequest& header, absl::Span<char> out) {
  assert(out.size() >= kMaxFixedHeaderBytes);
  Writer writer(out.data());
  WriteHeader(header, writer);
  return writer.size();
}

size_t EncodeChunkHeader(const ChunkReply& header, absl::Span<char> out) {
  assert(out.size() >= kMaxFixedHeaderBytes);
  Writer writer(out.data());
  WriteHeader(header, out.size() - kMaxReplyFieldsBytes, writer);
  return writer.size();
}

absl::StatusOr<ChunkRequest> ParseChunkRequestHeader(ByteSpan header) {
  ChunkRequest request;
  std::vector<ByteSpan> payload;
  const absl::Status status = ReadFields(
      Cursor(absl::MakeConstSpan(&header, 1)), kRequestFields, 0,
      [&](Cursor& cursor, const FieldInfo& field) {
        return ReadRequestField(cursor, field, &request);
      },
      &payload);
  if (!status.ok()) return Annotate(status, "chunk request");
  return request;
}

absl::StatusOr<ChunkReply> ParseChunkReplyHeader(ByteSpan header) {
  ChunkReply reply;
  std::vector<ByteSpan> payload;
  const absl::Status status = ReadFields(
      Cursor(absl::MakeConstSpan(&header, 1)), kReplyFields, 0,
      [&](Cursor& cursor, const FieldInfo& field) {
        return ReadReplyField(cursor, field, &reply);
      },
      &payload);
  if (!status.ok()) return Annotate(status, "chunk reply");
  return reply;
}

absl::Status CheckPayloadCrc(uint32_t crc32c, const Payload& payload) {
  if (crc32c == 0) return absl::OkStatus();
  uint32_t actual = 0;
  for (const ByteSpan span : payload.spans()) {
    actual = ExtendCrc32c(actual, span.data(), span.size());
  }
  if (actual == crc32c) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("payload_crc32c: ", absl::Hex(crc32c),
                   " was sent, the payload that arrived has ",
                   absl::Hex(actual), "; it was changed on its way"));
}

}  // namespace tfd::tensor
