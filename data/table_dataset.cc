#include "data/table_dataset.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/units.h"
#include "data/columns.h"
#include "data/csv_file.h"
#include "data/file_format.h"
#include "data/file_pattern.h"
#include "data/ipc_file.h"
#include "data/parquet_file.h"
#include "data/record_schema.h"
#include "data/rows_dataset.h"
#include "data/tfrecord_file.h"

namespace tfd::data {
namespace {

bool IsIn(const std::string& name, const std::vector<std::string>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Reads the files, one after the other, into batches of rows.
class TablesReader {
 public:
  TablesReader(const v1::DatasetSpec& spec, const OpenOptions& options)
      : spec_(spec), options_(options) {}

  absl::StatusOr<std::unique_ptr<Dataset>> Read(const Preprocess& preprocess);

 private:
  absl::Status ChooseColumns(const std::vector<std::string>& there);
  absl::Status ReadFile(const std::string& file);
  absl::Status Add(const RecordSchema& schema, const TableReader& reader,
                   std::shared_ptr<arrow::RecordBatch> batch,
                   int64_t first_row);
  absl::Status CheckMemory(uint64_t more_bytes);

  const v1::DatasetSpec& spec_;
  const OpenOptions& options_;
  // As the spec has them; after the first file, as they are there.
  ColumnNames names_;
  bool all_features_ = false;
  std::unique_ptr<RecordSchema> schema_;
  RowWidths widths_;
  std::vector<RecordRows> batches_;
  int64_t records_ = 0;
  // Rows with nulls.
  int64_t left_out_ = 0;
  uint64_t memory_bytes_ = 0;
};

// The spec's columns, given those of the first file.
absl::Status TablesReader::ChooseColumns(
    const std::vector<std::string>& there) {
  if (names_.label.empty() && options_.labels == Labels::kRequired) {
    return absl::InvalidArgumentError(absl::StrCat(
        "which column is the label? Write columns: {label: NAME}; it has ",
        NamesText(there)));
  }
  if (options_.labels == Labels::kIfAny && !IsIn(names_.label, there)) {
    names_.label.clear();
  }
  all_features_ = names_.features.empty();
  if (!all_features_) return absl::OkStatus();
  for (const std::string& name : there) {
    if (name != names_.label) names_.features.push_back(name);
  }
  if (names_.features.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("has no column but the label \"", names_.label, "\""));
  }
  return absl::OkStatus();
}

absl::Status TablesReader::CheckMemory(uint64_t more_bytes) {
  memory_bytes_ += more_bytes;
  if (memory_bytes_ <= options_.max_memory_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "what is read of the format ", FormatWord(spec_.format()),
      " is held in memory, and ", spec_.path(), " is more than ",
      FormatBytes(options_.max_memory_bytes), " after ", FormatCount(records_),
      " records: convert it to the format arrow, whose files are mapped where "
      "they are not compressed (tfd data convert)"));
}

absl::Status TablesReader::Add(const RecordSchema& schema,
                               const TableReader& reader,
                               std::shared_ptr<arrow::RecordBatch> batch,
                               int64_t first_row) {
  auto rows = schema.ViewRows(std::move(batch), {first_row, {}},
                              options_.classes, &widths_);
  absl::Status status = rows.status();
  if (status.ok()) status = schema.CheckFinite(*rows);
  if (!status.ok()) {
    const std::string place = reader.Place();
    return place.empty() ? status : Annotate(status, place);
  }
  records_ += rows->rows;
  left_out_ += rows->source_rows - rows->rows;
  const uint64_t bytes = reader.memory_bytes() + rows->made_bytes;
  batches_.push_back(*std::move(rows));
  return CheckMemory(bytes);
}

absl::Status TablesReader::ReadFile(const std::string& file) {
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<TableReader> reader,
                       OpenTable(spec_.format(), file));
  const std::vector<std::string> there = reader->schema()->field_names();
  const bool first = schema_ == nullptr;
  if (first) TFD_RETURN_IF_ERROR(ChooseColumns(there));
  if (!first && all_features_ &&
      there.size() != names_.features.size() + !names_.label.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "has the ", there.size(), " columns ", NamesText(there),
        ", unlike the files before it: name those wanted in columns: "
        "{features: …}"));
  }
  TFD_ASSIGN_OR_RETURN(RecordSchema schema,
                       RecordSchema::OfTable(reader->schema(), names_));
  if (!first) TFD_RETURN_IF_ERROR(schema.CheckSameRecords(*schema_));
  TFD_RETURN_IF_ERROR(reader->Select(schema.Columns()));
  int64_t rows = 0;
  while (true) {
    TFD_ASSIGN_OR_RETURN(std::shared_ptr<arrow::RecordBatch> batch,
                         reader->Next());
    if (!batch) break;
    const int64_t count = batch->num_rows();
    TFD_RETURN_IF_ERROR(Add(schema, *reader, std::move(batch), rows));
    rows += count;
  }
  if (first) schema_ = std::make_unique<RecordSchema>(std::move(schema));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Dataset>> TablesReader::Read(
    const Preprocess& preprocess) {
  TFD_ASSIGN_OR_RETURN(names_, ColumnsOf(spec_));
  TFD_ASSIGN_OR_RETURN(const std::vector<std::string> files,
                       FilesOf(spec_.path()));
  for (const std::string& file : files) {
    const absl::Status read = ReadFile(file);
    // Files that cannot be opened are named already.
    if (!read.ok()) {
      return absl::StartsWith(read.message(), file) ? read
                                                    : Annotate(read, file);
    }
  }
  if (records_ == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(spec_.path(), ": ", NoRowsText(left_out_)));
  }
  DatasetInfo info = InfoOf(spec_.path(), *schema_, widths_, preprocess);
  info.left_out = static_cast<uint64_t>(left_out_);
  return MakeRowsDataset(std::move(info), std::move(batches_));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TableReader>> OpenTable(
    v1::DatasetSpec::Format format, const std::string& path) {
  switch (format) {
    case v1::DatasetSpec::CSV:
      return OpenCsvFile(path);
    case v1::DatasetSpec::PARQUET:
      return OpenParquet(path);
    case v1::DatasetSpec::ARROW:
      return OpenIpcFile(path);
    case v1::DatasetSpec::TFRECORD:
      return OpenTfRecord(path);
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "the format ", FormatWord(format), " is none of tables"));
  }
}

absl::StatusOr<std::unique_ptr<Dataset>> OpenTables(
    const v1::DatasetSpec& spec, const Preprocess& preprocess,
    const OpenOptions& options) {
  if (spec.path().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.name, ": the format ", FormatWord(spec.format()),
                     " needs `path`"));
  }
  return TablesReader(spec, options).Read(preprocess);
}

}  // namespace tfd::data
