#include "data/ipc_file.h"

#include <arrow/array/data.h>
#include <arrow/buffer.h>
#include <arrow/io/interfaces.h>
#include <arrow/ipc/reader.h>
#include <arrow/ipc/writer.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/fs/file_system.h"
#include "common/status.h"
#include "data/arrow_file.h"
#include "data/arrow_status.h"

namespace tfd::data {
namespace {

// What the file format begins with; a stream does not.
constexpr char kIpcFileMagic[] = "ARROW1";

absl::Status FromIpc(const arrow::Status& status) {
  if (status.ok()) return absl::OkStatus();
  if (status.IsOutOfMemory() || status.IsNotImplemented()) {
    return FromArrow(status);
  }
  return absl::InvalidArgumentError(status.message());
}

class IpcReader : public TableReader {
 public:
  static absl::StatusOr<std::unique_ptr<TableReader>> Open(
      const std::string& path);

  const std::shared_ptr<arrow::Schema>& schema() const override {
    return schema_;
  }

  absl::Status Select(const std::vector<int>& columns) override;

  absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> Next() override;

  std::string Place() const override {
    return absl::StrCat("record batch ", next_batch_ - 1);
  }
  uint64_t memory_bytes() const override { return memory_bytes_; }

 private:
  static arrow::ipc::IpcReadOptions Options() {
    auto options = arrow::ipc::IpcReadOptions::Defaults();
    options.use_threads = false;
    return options;
  }

  absl::Status Begin(const arrow::ipc::IpcReadOptions& options);
  absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> Read(int64_t number);
  uint64_t UnmappedBytes(const arrow::ArrayData& array) const;

  std::shared_ptr<arrow::io::RandomAccessFile> input_;
  // The whole file, where it is mapped.
  std::shared_ptr<arrow::Buffer> mapping_;
  // One of the two.
  std::shared_ptr<arrow::ipc::RecordBatchFileReader> file_;
  std::shared_ptr<arrow::ipc::RecordBatchStreamReader> stream_;
  std::shared_ptr<arrow::Schema> schema_;
  // What Next picks out of what Arrow reads; empty: all.
  std::vector<int> columns_;
  int64_t next_batch_ = 0;
  uint64_t memory_bytes_ = 0;
};

absl::StatusOr<std::unique_ptr<TableReader>> IpcReader::Open(
    const std::string& path) {
  auto reader = std::make_unique<IpcReader>();
  TFD_ASSIGN_OR_RETURN(reader->input_, OpenForArrow(path, ReadBy::kMapping));
  if (reader->input_->supports_zero_copy()) {
    auto size = reader->input_->GetSize();
    if (!size.ok()) return FromIpc(size.status());
    auto mapping = reader->input_->ReadAt(0, *size);
    if (!mapping.ok()) return FromIpc(mapping.status());
    reader->mapping_ = *std::move(mapping);
  }
  TFD_RETURN_IF_ERROR(reader->Begin(Options()));
  reader->schema_ =
      reader->file_ ? reader->file_->schema() : reader->stream_->schema();
  return reader;
}

absl::Status IpcReader::Begin(const arrow::ipc::IpcReadOptions& options) {
  const auto fail = [](const arrow::Status& status) {
    return Annotate(FromIpc(status),
                    "is no whole file of Arrow's IPC format, neither a file "
                    "nor a stream");
  };
  auto head = input_->ReadAt(0, sizeof(kIpcFileMagic) - 1);
  if (!head.ok()) return fail(head.status());
  if ((*head)->size() == 0) {
    return absl::InvalidArgumentError("is empty");
  }
  if ((*head)->ToString() == kIpcFileMagic) {
    auto file = arrow::ipc::RecordBatchFileReader::Open(input_, options);
    if (!file.ok()) return fail(file.status());
    file_ = *std::move(file);
    return absl::OkStatus();
  }
  const arrow::Status sought = input_->Seek(0);
  if (!sought.ok()) return fail(sought);
  auto stream = arrow::ipc::RecordBatchStreamReader::Open(input_, options);
  if (!stream.ok()) return fail(stream.status());
  stream_ = *std::move(stream);
  return absl::OkStatus();
}

uint64_t IpcReader::UnmappedBytes(const arrow::ArrayData& array) const {
  uint64_t bytes = 0;
  for (const auto& buffer : array.buffers) {
    if (!buffer) continue;
    const bool mapped =
        mapping_ && buffer->address() >= mapping_->address() &&
        buffer->address() < mapping_->address() + mapping_->size();
    if (!mapped) bytes += buffer->size();
  }
  for (const auto& child : array.child_data) bytes += UnmappedBytes(*child);
  if (array.dictionary) bytes += UnmappedBytes(*array.dictionary);
  return bytes;
}

absl::Status IpcReader::Select(const std::vector<int>& columns) {
  auto sorted = columns;
  std::sort(sorted.begin(), sorted.end());
  // Arrow copies what it is asked to pick out of a file. So it is asked only
  // where that saves more: where columns are decompressed.
  if (file_ && mapping_ && file_->num_record_batches() > 0) {
    auto first = file_->ReadRecordBatch(0);
    uint64_t bytes = 0;
    if (first.ok()) {
      for (const auto& column : (*first)->column_data()) {
        bytes += UnmappedBytes(*column);
      }
    }
    if (bytes == 0) {
      columns_ = std::move(sorted);
      return absl::OkStatus();
    }
  }
  auto options = Options();
  options.included_fields = std::move(sorted);
  return Begin(options);
}

absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> IpcReader::Read(
    int64_t number) {
  std::shared_ptr<arrow::RecordBatch> batch;
  arrow::Status status;
  if (file_) {
    status = file_->ReadRecordBatch(static_cast<int>(number)).Value(&batch);
  } else {
    status = stream_->ReadNext(&batch);
  }
  if (status.ok() && batch && !columns_.empty()) {
    status = batch->SelectColumns(columns_).Value(&batch);
  }
  if (!status.ok()) {
    return Annotate(FromIpc(status), absl::StrCat(Place(), " cannot be read"));
  }
  return batch;
}

absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> IpcReader::Next() {
  if (file_ && next_batch_ >= file_->num_record_batches()) return nullptr;
  const int64_t number = next_batch_++;
  TFD_ASSIGN_OR_RETURN(std::shared_ptr<arrow::RecordBatch> batch, Read(number));
  memory_bytes_ = 0;
  if (!batch) return nullptr;
  for (const auto& column : batch->column_data()) {
    memory_bytes_ += UnmappedBytes(*column);
  }
  return batch;
}

class IpcWriter : public TableWriter {
 public:
  static absl::StatusOr<std::unique_ptr<TableWriter>> Create(
      const std::string& path, std::shared_ptr<arrow::Schema> schema);

  absl::Status Write(const arrow::RecordBatch& batch) override {
    return FromArrow(writer_->WriteRecordBatch(batch));
  }
  absl::Status Finish() override {
    TFD_RETURN_IF_ARROW_ERROR(writer_->Close());
    return file_->Commit();
  }

 private:
  std::unique_ptr<WritableFile> file_;
  std::shared_ptr<ArrowSink> sink_;
  std::shared_ptr<arrow::ipc::RecordBatchWriter> writer_;
};

absl::StatusOr<std::unique_ptr<TableWriter>> IpcWriter::Create(
    const std::string& path, std::shared_ptr<arrow::Schema> schema) {
  auto made = std::make_unique<IpcWriter>();
  TFD_ASSIGN_OR_RETURN(Location location, ResolveUri(path));
  TFD_ASSIGN_OR_RETURN(made->file_,
                       location.file_system->OpenForWriting(location.path));
  made->sink_ = std::make_shared<ArrowSink>(made->file_.get());
  auto writer = arrow::ipc::MakeFileWriter(made->sink_, schema);
  if (!writer.ok()) return FromArrow(writer);
  made->writer_ = *std::move(writer);
  return made;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TableReader>> OpenIpcFile(
    const std::string& path) {
  return IpcReader::Open(path);
}

absl::StatusOr<std::unique_ptr<TableWriter>> CreateIpcFile(
    const std::string& path, std::shared_ptr<arrow::Schema> schema) {
  return IpcWriter::Create(path, std::move(schema));
}

}  // namespace tfd::data
