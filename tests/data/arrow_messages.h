// Record batches and their IPC messages, as producers make them, for tests.
#ifndef TFD_TESTS_DATA_ARROW_MESSAGES_H_
#define TFD_TESTS_DATA_ARROW_MESSAGES_H_

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/api.h>
#include <arrow/json/from_string.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/columns.h"

namespace tfd::data {

struct IpcMessage {
  std::shared_ptr<arrow::Buffer> metadata;
  std::shared_ptr<arrow::Buffer> body;
};

// The schema's message, then one per batch (and dictionaries, if any).
inline std::vector<IpcMessage> ToMessages(
    const std::vector<std::shared_ptr<arrow::RecordBatch>>& batches,
    const arrow::ipc::IpcWriteOptions& options =
        arrow::ipc::IpcWriteOptions::Defaults()) {
  auto sink = arrow::io::BufferOutputStream::Create().ValueOrDie();
  auto writer =
      arrow::ipc::MakeStreamWriter(sink, batches[0]->schema(), options)
          .ValueOrDie();
  for (const auto& batch : batches) {
    arrow::Status status = writer->WriteRecordBatch(*batch);
    if (!status.ok()) status.Abort();
  }
  if (!writer->Close().ok()) return {};
  arrow::io::BufferReader stream(sink->Finish().ValueOrDie());
  std::vector<IpcMessage> messages;
  while (true) {
    auto message = arrow::ipc::ReadMessage(&stream).ValueOrDie();
    if (!message) return messages;
    auto body = message->body();
    messages.push_back(
        {message->metadata(),
         body ? body : std::make_shared<arrow::Buffer>(nullptr, 0)});
  }
}

// The bytes of a whole IPC stream of the batches.
inline std::string StreamOf(
    const std::vector<std::shared_ptr<arrow::RecordBatch>>& batches) {
  auto sink = arrow::io::BufferOutputStream::Create().ValueOrDie();
  auto writer =
      arrow::ipc::MakeStreamWriter(sink, batches[0]->schema()).ValueOrDie();
  for (const auto& batch : batches) {
    arrow::Status status = writer->WriteRecordBatch(*batch);
    if (!status.ok()) status.Abort();
  }
  if (!writer->Close().ok()) return "";
  return sink->Finish().ValueOrDie()->ToString();
}

// Rows [begin, end): column image (binary) with pixel p of row r being
// (r + p) mod 256, column label (uint8) r mod 10.
inline std::shared_ptr<arrow::RecordBatch> ImageBatch(int begin, int end,
                                                      int pixels = 6) {
  arrow::BinaryBuilder images;
  arrow::UInt8Builder labels;
  for (int r = begin; r < end; ++r) {
    std::string image;
    for (int p = 0; p < pixels; ++p) {
      image.push_back(static_cast<char>(r + p));
    }
    if (!images.Append(image).ok() || !labels.Append(r % 10).ok()) return {};
  }
  return arrow::RecordBatch::Make(
      arrow::schema({arrow::field("image", arrow::binary()),
                     arrow::field("label", arrow::uint8())}),
      end - begin,
      {images.Finish().ValueOrDie(), labels.Finish().ValueOrDie()});
}

// A batch from JSON text, e.g. {{"a", arrow::int32(), "[1, 2]"}}.
struct JsonColumn {
  std::string name;
  std::shared_ptr<arrow::DataType> type;
  std::string values;
};
inline std::shared_ptr<arrow::RecordBatch> JsonBatch(
    const std::vector<JsonColumn>& columns) {
  arrow::FieldVector fields;
  arrow::ArrayVector arrays;
  for (const JsonColumn& column : columns) {
    fields.push_back(arrow::field(column.name, column.type));
    arrays.push_back(
        arrow::json::ArrayFromJSONString(column.type, column.values)
            .ValueOrDie());
  }
  return arrow::RecordBatch::Make(arrow::schema(fields), arrays[0]->length(),
                                  arrays);
}

inline ColumnNames ImageColumns() { return {{"image"}, "label"}; }

}  // namespace tfd::data

#endif  // TFD_TESTS_DATA_ARROW_MESSAGES_H_
