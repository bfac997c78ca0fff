#include "data/feed/flight_data.h"

#include <arrow/buffer.h>
#include <arrow/ipc/writer.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "arrow/flight/protocol/Flight.pb.h"
#include "common/status.h"
#include "data/arrow_status.h"

namespace tfd::data {
namespace {

// Numbers of FlightData's fields.
constexpr uint32_t kDescriptorField = 1;
constexpr uint32_t kHeaderField = 2;
constexpr uint32_t kAppMetadataField = 3;
constexpr uint32_t kBodyField = 1000;

// Protobuf's wire types.
constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kLengthDelimited = 2;
constexpr uint32_t kFixed32 = 5;

constexpr int kMaxVarintBytes = 10;
// Arrow pads every buffer of a body to this.
constexpr size_t kBodyAlignment = 8;

// Reads on over the slices of a message.
class SliceCursor {
 public:
  explicit SliceCursor(const std::vector<grpc::Slice>& slices)
      : slices_(slices) {
    for (const grpc::Slice& slice : slices) left_ += slice.size();
  }

  uint64_t left() const { return left_; }

  // Copies the next bytes to `out`, or skips them where it is null; false
  // where there are fewer.
  bool Take(uint64_t size_bytes, uint8_t* out) {
    if (size_bytes > left_) return false;
    left_ -= size_bytes;
    while (size_bytes > 0) {
      const grpc::Slice& slice = slices_[slice_];
      const auto take = std::min<uint64_t>(size_bytes, slice.size() - offset_);
      if (out != nullptr) {
        std::memcpy(out, slice.begin() + offset_, take);
        out += take;
      }
      size_bytes -= take;
      offset_ += take;
      if (offset_ == slice.size()) {
        ++slice_;
        offset_ = 0;
      }
    }
    return true;
  }

  bool TakeVarint(uint64_t* value) {
    *value = 0;
    for (int i = 0; i < kMaxVarintBytes; ++i) {
      uint8_t byte = 0;
      if (!Take(1, &byte)) return false;
      *value |= uint64_t{byte & 0x7fu} << (7 * i);
      if ((byte & 0x80) == 0) return true;
    }
    return false;
  }

 private:
  const std::vector<grpc::Slice>& slices_;
  size_t slice_ = 0;
  size_t offset_ = 0;
  uint64_t left_ = 0;
};

absl::Status Damaged(const char* what) {
  return absl::InvalidArgumentError(
      absl::StrCat("a FlightData message is damaged: ", what));
}

bool SkipField(uint32_t wire_type, SliceCursor* cursor) {
  uint64_t value = 0;
  switch (wire_type) {
    case kVarint:
      return cursor->TakeVarint(&value);
    case kFixed64:
      return cursor->Take(8, nullptr);
    case kFixed32:
      return cursor->Take(4, nullptr);
    case kLengthDelimited:
      return cursor->TakeVarint(&value) && cursor->Take(value, nullptr);
    default:
      return false;
  }
}

bool TakeString(uint64_t size_bytes, SliceCursor* cursor, std::string* out) {
  out->resize(size_bytes);
  return cursor->Take(size_bytes, reinterpret_cast<uint8_t*>(out->data()));
}

void PutVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

// What a slice points into.
struct KeptBody {
  std::shared_ptr<const RandomAccessFile> file;
  std::shared_ptr<arrow::Buffer> body;
};

}  // namespace

FlightDataReader::FlightDataReader() = default;
FlightDataReader::~FlightDataReader() = default;

absl::StatusOr<FlightData> FlightDataReader::Read(
    const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  if (message.Valid() && !message.Dump(&slices).ok()) {
    return Damaged("it cannot be decompressed");
  }
  slices.erase(std::remove_if(slices.begin(), slices.end(),
                              [](const auto& s) { return s.size() == 0; }),
               slices.end());
  SliceCursor cursor(slices);
  FlightData data;
  if (!body_) {
    auto buffer = arrow::AllocateResizableBuffer(0);
    if (!buffer.ok()) return FromArrow(buffer);
    body_ = *std::move(buffer);
  }
  TFD_RETURN_IF_ARROW_ERROR(body_->Resize(0, /*shrink_to_fit=*/false));
  data.body = body_;
  while (cursor.left() > 0) {
    uint64_t tag = 0;
    if (!cursor.TakeVarint(&tag)) return Damaged("a tag is cut off");
    const uint64_t field = tag >> 3;
    const auto wire_type = static_cast<uint32_t>(tag & 7);
    const bool known = field == kDescriptorField || field == kHeaderField ||
                       field == kAppMetadataField || field == kBodyField;
    if (!known || wire_type != kLengthDelimited) {
      if (!SkipField(wire_type, &cursor)) return Damaged("a field is cut off");
      continue;
    }
    uint64_t size_bytes = 0;
    if (!cursor.TakeVarint(&size_bytes) || size_bytes > cursor.left()) {
      return Damaged("a field is longer than the message");
    }
    if (field == kDescriptorField) {
      TakeString(size_bytes, &cursor, &data.descriptor);
    } else if (field == kAppMetadataField) {
      TakeString(size_bytes, &cursor, &data.app_metadata);
    } else if (field == kHeaderField) {
      auto header = arrow::AllocateBuffer(static_cast<int64_t>(size_bytes));
      if (!header.ok()) return FromArrow(header);
      cursor.Take(size_bytes, (*header)->mutable_data());
      data.header = *std::move(header);
    } else {
      TFD_RETURN_IF_ARROW_ERROR(body_->Resize(static_cast<int64_t>(size_bytes),
                                              /*shrink_to_fit=*/false));
      cursor.Take(size_bytes, body_->mutable_data());
    }
  }
  return data;
}

absl::StatusOr<grpc::ByteBuffer> ToFlightData(
    const std::shared_ptr<const RandomAccessFile>& file,
    const IpcMessagePlace& place) {
  std::string head;
  head.reserve(place.metadata_bytes + 4 * kMaxVarintBytes);
  PutVarint(kHeaderField << 3 | kLengthDelimited, &head);
  PutVarint(place.metadata_bytes, &head);
  const size_t begin = head.size();
  head.resize(begin + place.metadata_bytes);
  TFD_RETURN_IF_ERROR(
      file->Read(place.metadata_offset, place.metadata_bytes, &head[begin]));
  PutVarint(kBodyField << 3 | kLengthDelimited, &head);
  PutVarint(place.body_bytes, &head);
  TFD_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> body,
                       FileBuffer(*file, place.body_offset, place.body_bytes));
  auto* kept = new KeptBody{file, std::move(body)};
  const grpc::Slice slices[] = {
      grpc::Slice(head),
      grpc::Slice(
          const_cast<uint8_t*>(kept->body->data()), place.body_bytes,
          [](void* argument) { delete static_cast<KeptBody*>(argument); },
          kept)};
  return grpc::ByteBuffer(slices, 2);
}

arrow::flight::protocol::FlightData FlightDataOf(
    const arrow::ipc::IpcPayload& payload) {
  arrow::flight::protocol::FlightData data;
  data.set_data_header(payload.metadata->data(), payload.metadata->size());
  std::string& body = *data.mutable_data_body();
  body.reserve(payload.body_length);
  for (const std::shared_ptr<arrow::Buffer>& buffer : payload.body_buffers) {
    if (buffer == nullptr) continue;
    body.append(reinterpret_cast<const char*>(buffer->data()), buffer->size());
    body.resize((body.size() + kBodyAlignment - 1) / kBodyAlignment *
                kBodyAlignment);
  }
  return data;
}

}  // namespace tfd::data
