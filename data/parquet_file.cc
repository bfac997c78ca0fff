#include "data/parquet_file.h"

#include <arrow/record_batch.h>
#include <arrow/table.h>
#include <arrow/type.h>
#include <arrow/util/byte_size.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/arrow/writer.h>
#include <parquet/file_reader.h>
#include <parquet/properties.h>

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/fs/file_system.h"
#include "common/fs/remote_file_system.h"
#include "common/status.h"
#include "data/arrow_file.h"
#include "data/arrow_status.h"

namespace tfd::data {
namespace {

// Decoded at a time, whichever is less: enough rows for the cost per batch to
// vanish, and so few bytes that the numbers and levels of a batch (which take a
// multiple of them) stay in the processor's caches.
constexpr int64_t kRowsAtATime = 16384;
constexpr int64_t kBytesAtATime = 1 << 20;
// Of a row group that is written.
constexpr int64_t kRowGroupBytes = 64 << 20;

// Its message as a sentence of ours: what the library cannot read is the file's
// fault, whatever it calls it.
absl::Status FromParquet(const arrow::Status& status) {
  if (status.ok()) return absl::OkStatus();
  if (status.IsOutOfMemory() || status.IsNotImplemented()) {
    return FromArrow(status);
  }
  return absl::InvalidArgumentError(status.message());
}

// What Parquet's own interface throws, as a status; Arrow's gives one.
template <typename Function>
auto CatchParquet(Function function) -> decltype(function()) {
  try {
    return function();
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

// The leaf columns below a top-level one: what Parquet itself numbers.
void AddLeaves(const parquet::arrow::SchemaField& field,
               std::vector<int>* leaves) {
  if (field.is_leaf()) leaves->push_back(field.column_index);
  for (const auto& child : field.children) AddLeaves(child, leaves);
}

class ParquetReader : public TableReader {
 public:
  static absl::StatusOr<std::unique_ptr<TableReader>> Open(
      const std::string& path);

  const std::shared_ptr<arrow::Schema>& schema() const override {
    return schema_;
  }

  absl::Status Select(const std::vector<int>& columns) override {
    leaves_.clear();
    const auto& fields = file_->manifest().schema_fields;
    for (const int column : columns) AddLeaves(fields[column], &leaves_);
    std::sort(leaves_.begin(), leaves_.end());
    return absl::OkStatus();
  }

  absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> Next() override {
    return CatchParquet([this] { return DoNext(); });
  }

  std::string Place() const override {
    return absl::StrCat("row group ", row_group_);
  }
  uint64_t memory_bytes() const override { return memory_bytes_; }

 private:
  explicit ParquetReader(std::unique_ptr<parquet::arrow::FileReader> file)
      : file_(std::move(file)) {}

  absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> DoNext();
  absl::Status Damaged(const arrow::Status& status) const;

  const std::unique_ptr<parquet::arrow::FileReader> file_;
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<int> leaves_;
  // Of the row group that is being read; null between two.
  std::unique_ptr<arrow::RecordBatchReader> rows_;
  int row_group_ = -1;
  int64_t rows_left_ = 0;
  uint64_t memory_bytes_ = 0;
};

absl::StatusOr<std::unique_ptr<TableReader>> ParquetReader::Open(
    const std::string& path) {
  // Copying: pages are decoded into memory anyway.
  TFD_ASSIGN_OR_RETURN(auto input, OpenForArrow(path, ReadBy::kCopying));
  auto properties = parquet::default_reader_properties();
  // Where the writer left checksums.
  properties.set_page_checksum_verification(true);
  parquet::ArrowReaderProperties arrow_properties(/*use_threads=*/false);
  // Reads a row group's columns in a few large pieces, ahead of their decoding.
  arrow_properties.set_pre_buffer(IsRemoteUri(path));
  parquet::arrow::FileReaderBuilder builder;
  const auto fail = [](const arrow::Status& status) {
    return Annotate(FromParquet(status), "is no whole Parquet file");
  };
  arrow::Status status = builder.Open(std::move(input), properties);
  if (!status.ok()) return fail(status);
  auto file = builder.properties(arrow_properties)->Build();
  if (!file.ok()) return fail(file.status());
  std::unique_ptr<ParquetReader> reader(new ParquetReader(*std::move(file)));
  status = reader->file_->GetSchema(&reader->schema_);
  if (!status.ok()) return fail(status);
  std::vector<int> all(reader->schema_->num_fields());
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int>(i);
  TFD_RETURN_IF_ERROR(reader->Select(all));
  return reader;
}

// The library does not say which column it could not read: each is read again
// alone, until one fails.
absl::Status ParquetReader::Damaged(const arrow::Status& status) const {
  std::string column;
  for (const int leaf : leaves_) {
    std::shared_ptr<arrow::Table> table;
    const arrow::Status again = file_->ReadRowGroup(row_group_, {leaf}, &table);
    if (again.ok()) continue;
    const auto* descriptor =
        file_->parquet_reader()->metadata()->schema()->Column(leaf);
    column = absl::StrCat(" of column \"", descriptor->path()->ToDotVector()[0],
                          "\"");
    break;
  }
  return Annotate(FromParquet(status),
                  absl::StrCat(Place(), column, " cannot be read"));
}

absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> ParquetReader::DoNext() {
  while (true) {
    if (!rows_) {
      if (row_group_ + 1 >= file_->num_row_groups()) return nullptr;
      ++row_group_;
      const auto group =
          file_->parquet_reader()->metadata()->RowGroup(row_group_);
      rows_left_ = group->num_rows();
      const int64_t row_bytes =
          1 + group->total_byte_size() / std::max<int64_t>(1, rows_left_);
      file_->set_batch_size(std::clamp<int64_t>(
          kBytesAtATime / std::max<int64_t>(1, row_bytes), 1, kRowsAtATime));
      auto rows = file_->GetRecordBatchReader({row_group_}, leaves_);
      if (!rows.ok()) return Damaged(rows.status());
      rows_ = *std::move(rows);
    }
    std::shared_ptr<arrow::RecordBatch> batch;
    const arrow::Status status = rows_->ReadNext(&batch);
    if (!status.ok()) return Damaged(status);
    if (batch) {
      rows_left_ -= batch->num_rows();
      memory_bytes_ = arrow::util::TotalBufferSize(*batch);
      return batch;
    }
    if (rows_left_ != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(Place(), " has ", rows_left_,
                       " rows less than it promises: is the file damaged?"));
    }
    rows_.reset();
  }
}

class ParquetWriter : public TableWriter {
 public:
  static absl::StatusOr<std::unique_ptr<TableWriter>> Create(
      const std::string& path, std::shared_ptr<arrow::Schema> schema);

  absl::Status Write(const arrow::RecordBatch& batch) override {
    return CatchParquet([&]() -> absl::Status {
      if (row_group_bytes_ >= kRowGroupBytes) {
        TFD_RETURN_IF_ARROW_ERROR(writer_->NewBufferedRowGroup());
        row_group_bytes_ = 0;
      }
      TFD_RETURN_IF_ARROW_ERROR(writer_->WriteRecordBatch(batch));
      row_group_bytes_ += arrow::util::TotalBufferSize(batch);
      return absl::OkStatus();
    });
  }

  absl::Status Finish() override {
    return CatchParquet([&]() -> absl::Status {
      TFD_RETURN_IF_ARROW_ERROR(writer_->Close());
      return file_->Commit();
    });
  }

 private:
  std::unique_ptr<WritableFile> file_;
  std::shared_ptr<ArrowSink> sink_;
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
  int64_t row_group_bytes_ = 0;
};

absl::StatusOr<std::unique_ptr<TableWriter>> ParquetWriter::Create(
    const std::string& path, std::shared_ptr<arrow::Schema> schema) {
  auto made = std::make_unique<ParquetWriter>();
  TFD_ASSIGN_OR_RETURN(Location location, ResolveUri(path));
  TFD_ASSIGN_OR_RETURN(made->file_,
                       location.file_system->OpenForWriting(location.path));
  made->sink_ = std::make_shared<ArrowSink>(made->file_.get());
  const auto properties = parquet::WriterProperties::Builder()
                              .compression(parquet::Compression::ZSTD)
                              ->enable_page_checksum()
                              ->build();
  // Lists of fixed size come back as such.
  const auto arrow_properties =
      parquet::ArrowWriterProperties::Builder().store_schema()->build();
  auto writer = parquet::arrow::FileWriter::Open(
      *schema, arrow::default_memory_pool(), made->sink_, properties,
      arrow_properties);
  if (!writer.ok()) return FromArrow(writer);
  made->writer_ = *std::move(writer);
  return made;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TableReader>> OpenParquet(
    const std::string& path) {
  return CatchParquet([&] { return ParquetReader::Open(path); });
}

absl::StatusOr<std::unique_ptr<TableWriter>> CreateParquet(
    const std::string& path, std::shared_ptr<arrow::Schema> schema) {
  return CatchParquet([&] { return ParquetWriter::Create(path, schema); });
}

}  // namespace tfd::data
