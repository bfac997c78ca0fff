#include "data/ipc_stream.h"

#include <arrow/buffer.h>
#include <arrow/ipc/message.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "data/arrow_status.h"

namespace tfd::data {
namespace {

constexpr uint64_t kPrefixBytes = 8;
constexpr size_t kIpcAlignment = 8;
// Metadata has a few dozen bytes per column.
constexpr uint32_t kMaxMetadataBytes = 64 << 20;

uint32_t LittleEndian32(const uint8_t* bytes) {
  return bytes[0] | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 |
         uint32_t{bytes[3]} << 24;
}

}  // namespace

IpcPrefix MakeIpcPrefix(size_t metadata_bytes) {
  IpcPrefix prefix;
  prefix.padding =
      (kIpcAlignment - metadata_bytes % kIpcAlignment) % kIpcAlignment;
  const auto padded = static_cast<uint32_t>(metadata_bytes + prefix.padding);
  for (int i = 0; i < 4; ++i) {
    prefix.bytes[i] = 0xff;
    prefix.bytes[4 + i] = static_cast<uint8_t>(padded >> (8 * i));
  }
  return prefix;
}

absl::StatusOr<IpcNext> FindIpcMessage(const RandomAccessFile& file,
                                       uint64_t offset,
                                       IpcMessagePlace* place) {
  const uint64_t left = file.size_bytes() - offset;
  if (left < kPrefixBytes) return IpcNext::kTorn;
  uint8_t prefix[kPrefixBytes];
  TFD_RETURN_IF_ERROR(file.Read(offset, kPrefixBytes, prefix));
  if (std::memcmp(prefix, kIpcEnd, kPrefixBytes) == 0) return IpcNext::kEnd;
  const uint32_t metadata_bytes = LittleEndian32(prefix + 4);
  if (LittleEndian32(prefix) != 0xffffffff || metadata_bytes == 0 ||
      metadata_bytes % kIpcAlignment != 0 ||
      metadata_bytes > kMaxMetadataBytes ||
      metadata_bytes > left - kPrefixBytes) {
    return IpcNext::kTorn;
  }
  place->metadata_offset = offset + kPrefixBytes;
  place->metadata_bytes = metadata_bytes;
  place->body_offset = place->metadata_offset + metadata_bytes;
  TFD_ASSIGN_OR_RETURN(
      std::shared_ptr<arrow::Buffer> metadata,
      FileBuffer(file, place->metadata_offset, metadata_bytes));
  auto message = arrow::ipc::Message::Open(std::move(metadata), nullptr);
  if (!message.ok()) return IpcNext::kTorn;
  const int64_t body_bytes = (*message)->body_length();
  if (body_bytes < 0 || static_cast<uint64_t>(body_bytes) >
                            file.size_bytes() - place->body_offset) {
    return IpcNext::kTorn;
  }
  place->body_bytes = static_cast<uint64_t>(body_bytes);
  return IpcNext::kMessage;
}

absl::StatusOr<std::shared_ptr<arrow::Buffer>> FileBuffer(
    const RandomAccessFile& file, uint64_t offset, uint64_t size_bytes) {
  if (file.mapping() != nullptr) {
    return std::make_shared<arrow::Buffer>(
        reinterpret_cast<const uint8_t*>(file.mapping()) + offset,
        static_cast<int64_t>(size_bytes));
  }
  auto buffer = arrow::AllocateBuffer(static_cast<int64_t>(size_bytes));
  if (!buffer.ok()) return FromArrow(buffer);
  TFD_RETURN_IF_ERROR(file.Read(offset, size_bytes, (*buffer)->mutable_data()));
  return std::shared_ptr<arrow::Buffer>(*std::move(buffer));
}

absl::StatusOr<IpcFileRows> ReadIpcFile(const RandomAccessFile& file,
                                        const ColumnNames& names,
                                        int64_t classes, RowWidths* widths) {
  IpcFileRows all;
  while (true) {
    IpcMessagePlace place;
    TFD_ASSIGN_OR_RETURN(const IpcNext next,
                         FindIpcMessage(file, all.end, &place));
    if (next == IpcNext::kEnd) {
      all.finished = all.end + kPrefixBytes == file.size_bytes();
      return all;
    }
    if (next == IpcNext::kTorn) return all;
    TFD_ASSIGN_OR_RETURN(
        std::shared_ptr<arrow::Buffer> metadata,
        FileBuffer(file, place.metadata_offset, place.metadata_bytes));
    const std::string where = absl::StrCat("the message at byte ", all.end);
    if (!all.schema) {
      auto schema = RecordSchema::Make(std::move(metadata), names);
      if (!schema.ok()) return Annotate(schema.status(), where);
      all.schema = std::make_unique<RecordSchema>(*std::move(schema));
    } else {
      TFD_ASSIGN_OR_RETURN(
          std::shared_ptr<arrow::Buffer> body,
          FileBuffer(file, place.body_offset, place.body_bytes));
      auto rows = all.schema->Decode(std::move(metadata), body, all.rows,
                                     classes, widths);
      if (!rows.ok()) return Annotate(rows.status(), where);
      all.rows += rows->source_rows;
      all.left_out += rows->source_rows - rows->rows;
      all.batches.push_back(*std::move(rows));
    }
    all.end = place.end();
  }
}

}  // namespace tfd::data
