#include "data/csv_file.h"

#include <arrow/csv/api.h>
#include <arrow/csv/writer.h>
#include <arrow/ipc/writer.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/byte_size.h>

#include <utility>
#include <vector>

#include "common/fs/file_system.h"
#include "common/status.h"
#include "data/arrow_file.h"
#include "data/arrow_status.h"
#include "data/csv_table.h"
#include "data/expand_columns.h"

namespace tfd::data {
namespace {

class CsvFileReader : public TableReader {
 public:
  static absl::StatusOr<std::unique_ptr<TableReader>> Open(
      const std::string& path) {
    auto reader = std::make_unique<CsvFileReader>();
    TFD_ASSIGN_OR_RETURN(const std::vector<std::string> header,
                         ReadCsvHeader(path));
    TFD_ASSIGN_OR_RETURN(
        reader->csv_,
        OpenCsvStream(path, header, arrow::csv::ConvertOptions::Defaults()));
    reader->path_ = path;
    reader->schema_ = reader->csv_->schema();
    return reader;
  }

  const std::shared_ptr<arrow::Schema>& schema() const override {
    return schema_;
  }

  absl::Status Select(const std::vector<int>& columns) override {
    columns_ = columns;
    return absl::OkStatus();
  }

  absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> Next() override {
    std::shared_ptr<arrow::RecordBatch> batch;
    const arrow::Status status = csv_->ReadNext(&batch);
    if (!status.ok()) {
      return FromCsvError(path_, schema_->field_names(), status);
    }
    if (!batch) return nullptr;
    if (!columns_.empty()) {
      auto selected = batch->SelectColumns(columns_);
      if (!selected.ok()) return FromArrow(selected);
      batch = *std::move(selected);
    }
    memory_bytes_ = arrow::util::TotalBufferSize(*batch);
    return batch;
  }

  uint64_t memory_bytes() const override { return memory_bytes_; }

 private:
  std::string path_;
  std::shared_ptr<arrow::csv::StreamingReader> csv_;
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<int> columns_;
  uint64_t memory_bytes_ = 0;
};

class CsvFileWriter : public TableWriter {
 public:
  static absl::StatusOr<std::unique_ptr<TableWriter>> Create(
      const std::string& path) {
    auto made = std::make_unique<CsvFileWriter>();
    TFD_ASSIGN_OR_RETURN(Location location, ResolveUri(path));
    TFD_ASSIGN_OR_RETURN(made->file_,
                         location.file_system->OpenForWriting(location.path));
    made->sink_ = std::make_shared<ArrowSink>(made->file_.get());
    return made;
  }

  absl::Status Write(const arrow::RecordBatch& batch) override {
    TFD_ASSIGN_OR_RETURN(const std::shared_ptr<arrow::RecordBatch> numbers,
                         expander_.Expand(batch));
    if (!csv_) {
      auto csv = arrow::csv::MakeCSVWriter(sink_, numbers->schema());
      if (!csv.ok()) return FromArrow(csv);
      csv_ = *std::move(csv);
    }
    return FromArrow(csv_->WriteRecordBatch(*numbers));
  }

  absl::Status Finish() override {
    if (csv_) TFD_RETURN_IF_ARROW_ERROR(csv_->Close());
    return file_->Commit();
  }

 private:
  std::unique_ptr<WritableFile> file_;
  std::shared_ptr<ArrowSink> sink_;
  ColumnExpander expander_;
  // Made for the first rows, which say how wide lists are.
  std::shared_ptr<arrow::ipc::RecordBatchWriter> csv_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TableReader>> OpenCsvFile(
    const std::string& path) {
  return CsvFileReader::Open(path);
}

absl::StatusOr<std::unique_ptr<TableWriter>> CreateCsvFile(
    const std::string& path) {
  return CsvFileWriter::Create(path);
}

}  // namespace tfd::data
