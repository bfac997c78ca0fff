#include "data/convert.h"

#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/nearest_name.h"
#include "common/status.h"
#include "data/columns.h"
#include "data/csv_file.h"
#include "data/file_format.h"
#include "data/file_pattern.h"
#include "data/idx_table.h"
#include "data/ipc_file.h"
#include "data/parquet_file.h"
#include "data/table_file.h"
#include "data/tfrecord_file.h"

namespace tfd::data {
namespace {

using v1::DatasetSpec;
using Progress = std::function<absl::Status(int64_t done)>;
// Takes one batch after the other.
using Take = std::function<absl::Status(std::shared_ptr<arrow::RecordBatch>)>;

absl::StatusOr<DatasetSpec::Format> FormatOfFlag(const std::string& flag,
                                                 const std::string& word,
                                                 const std::string& path) {
  if (!word.empty()) return FormatOfWord(word);
  if (const auto format = FormatOfName(path)) return *format;
  return absl::InvalidArgumentError(
      absl::StrCat("the name ", path, " does not say which format it is: add ",
                   flag, " idx, csv, parquet, arrow or tfrecord"));
}

class Conversion {
 public:
  Conversion(const ConvertOptions& options, const Progress& progress)
      : options_(options), progress_(progress) {}

  absl::StatusOr<int64_t> Run();

 private:
  absl::Status CheckLabelsFlag() const;
  absl::StatusOr<std::unique_ptr<TableReader>> OpenInput(
      const std::string& file) const;
  absl::Status SelectColumns(TableReader* reader) const;
  absl::StatusOr<std::unique_ptr<TableWriter>> CreateOutput(
      std::shared_ptr<arrow::Schema> schema) const;
  absl::StatusOr<std::unique_ptr<IdxTableWriter>> MakeIdx(
      const arrow::RecordBatch& batch) const;
  absl::Status ReadFile(const std::string& file, const Take& take);
  // All files, once.
  absl::Status ReadAll(const Take& take);
  absl::Status ToIdx();
  absl::Status ToTable();

  const ConvertOptions& options_;
  const Progress& progress_;
  DatasetSpec::Format from_ = DatasetSpec::FORMAT_UNSPECIFIED;
  DatasetSpec::Format to_ = DatasetSpec::FORMAT_UNSPECIFIED;
  std::vector<std::string> files_;
  // Of the first file's rows.
  std::shared_ptr<arrow::Schema> schema_;
  int64_t records_ = 0;
};

absl::StatusOr<std::unique_ptr<TableReader>> Conversion::OpenInput(
    const std::string& file) const {
  switch (from_) {
    case DatasetSpec::IDX:
      return OpenIdxTable(file, options_.labels, options_.label_column,
                          to_ == DatasetSpec::ARROW ? ImageColumn::kShaped
                                                    : ImageColumn::kFlat);
    case DatasetSpec::CSV:
      return OpenCsvFile(file);
    case DatasetSpec::PARQUET:
      return OpenParquet(file);
    case DatasetSpec::ARROW:
      return OpenIpcFile(file);
    default:
      return OpenTfRecord(file, ExampleTypes::kAllRecords);
  }
}

absl::StatusOr<std::unique_ptr<TableWriter>> Conversion::CreateOutput(
    std::shared_ptr<arrow::Schema> schema) const {
  switch (to_) {
    case DatasetSpec::CSV:
      return CreateCsvFile(options_.output);
    case DatasetSpec::PARQUET:
      return CreateParquet(options_.output, std::move(schema));
    case DatasetSpec::ARROW:
      return CreateIpcFile(options_.output, std::move(schema));
    default:
      return CreateTfRecord(options_.output, std::move(schema));
  }
}

// options_.columns, in the order of the table.
absl::Status Conversion::SelectColumns(TableReader* reader) const {
  if (options_.columns.empty()) return absl::OkStatus();
  const arrow::Schema& schema = *reader->schema();
  std::vector<int> columns;
  for (const absl::string_view part : absl::StrSplit(options_.columns, ',')) {
    const std::string name(absl::StripAsciiWhitespace(part));
    const int index = schema.GetFieldIndex(name);
    if (index < 0) {
      const std::string nearest = NearestName(name, schema.field_names());
      return absl::InvalidArgumentError(absl::StrCat(
          "--columns: there is no column \"", name, "\"; it has ",
          NamesText(schema.field_names()),
          nearest.empty() ? ""
                          : absl::StrCat("; did you mean \"", nearest, "\"?")));
    }
    columns.push_back(index);
  }
  std::sort(columns.begin(), columns.end());
  columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
  return reader->Select(columns);
}

absl::Status Conversion::ReadFile(const std::string& file, const Take& take) {
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<TableReader> reader,
                       OpenInput(file));
  TFD_RETURN_IF_ERROR(SelectColumns(reader.get()));
  while (true) {
    TFD_ASSIGN_OR_RETURN(std::shared_ptr<arrow::RecordBatch> batch,
                         reader->Next());
    if (!batch) return absl::OkStatus();
    // Notes of other programs (pandas') need not be true of what is written.
    batch = batch->ReplaceSchemaMetadata(nullptr);
    if (!schema_) schema_ = batch->schema();
    if (!batch->schema()->Equals(*schema_, /*check_metadata=*/false)) {
      return absl::InvalidArgumentError(
          absl::StrCat("has not the columns of ", files_[0], ": {",
                       batch->schema()->ToString(), "} against {",
                       schema_->ToString(), "}"));
    }
    const int64_t rows = batch->num_rows();
    TFD_RETURN_IF_ERROR(take(std::move(batch)));
    records_ += rows;
    TFD_RETURN_IF_ERROR(progress_(records_));
  }
}

absl::Status Conversion::ReadAll(const Take& take) {
  records_ = 0;
  for (const std::string& file : files_) {
    const absl::Status read = ReadFile(file, take);
    if (read.ok()) continue;
    if (absl::IsCancelled(read) || absl::StrContains(read.message(), file)) {
      return read;
    }
    return Annotate(read, file);
  }
  if (records_ == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(options_.input, ": has no rows"));
  }
  return absl::OkStatus();
}

absl::Status Conversion::ToTable() {
  std::unique_ptr<TableWriter> writer;
  TFD_RETURN_IF_ERROR(
      ReadAll([&](std::shared_ptr<arrow::RecordBatch> batch) -> absl::Status {
        if (!writer) {
          TFD_ASSIGN_OR_RETURN(writer, CreateOutput(batch->schema()));
        }
        return writer->Write(*batch);
      }));
  return writer->Finish();
}

absl::StatusOr<std::unique_ptr<IdxTableWriter>> Conversion::MakeIdx(
    const arrow::RecordBatch& batch) const {
  ColumnNames names;
  const std::vector<std::string> there = batch.schema()->field_names();
  for (const std::string& name : there) {
    if (name == options_.label_column) {
      names.label = name;
    } else {
      names.features.push_back(name);
    }
  }
  if (options_.labels.empty() != names.label.empty()) {
    return absl::InvalidArgumentError(
        names.label.empty()
            ? absl::StrCat("--labels is given, and there is no column \"",
                           options_.label_column,
                           "\": name the labels' with --label-column; it has ",
                           NamesText(there))
            : absl::StrCat("the column \"", names.label,
                           "\" is the labels', and IDX has them in a file of "
                           "their own: add --labels FILE, or leave the column "
                           "out by --columns"));
  }
  if (names.features.empty()) {
    return absl::InvalidArgumentError("there is no column but the label");
  }
  return IdxTableWriter::Make(batch.schema(), names);
}

absl::Status Conversion::ToIdx() {
  std::unique_ptr<IdxTableWriter> writer;
  TFD_RETURN_IF_ERROR(
      ReadAll([&](std::shared_ptr<arrow::RecordBatch> batch) -> absl::Status {
        if (!writer) {
          TFD_ASSIGN_OR_RETURN(writer, MakeIdx(*batch));
        }
        return writer->Survey(std::move(batch));
      }));
  TFD_RETURN_IF_ERROR(writer->Create(options_.output, options_.labels));
  TFD_RETURN_IF_ERROR(
      ReadAll([&](std::shared_ptr<arrow::RecordBatch> batch) -> absl::Status {
        return writer->Write(std::move(batch));
      }));
  return writer->Finish();
}

absl::Status Conversion::CheckLabelsFlag() const {
  if (from_ == DatasetSpec::IDX && to_ == DatasetSpec::IDX) {
    return absl::InvalidArgumentError(
        "both are idx: there is nothing to convert");
  }
  if (options_.labels.empty() || from_ == DatasetSpec::IDX ||
      to_ == DatasetSpec::IDX) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--labels is for idx; from ", FormatWord(from_), " to ",
                   FormatWord(to_), " labels are a column like any other"));
}

absl::StatusOr<int64_t> Conversion::Run() {
  TFD_ASSIGN_OR_RETURN(from_,
                       FormatOfFlag("--from", options_.from, options_.input));
  TFD_ASSIGN_OR_RETURN(to_, FormatOfFlag("--to", options_.to, options_.output));
  TFD_RETURN_IF_ERROR(CheckLabelsFlag());
  TFD_ASSIGN_OR_RETURN(files_, FilesOf(options_.input));
  if (files_.size() > 1 && !options_.labels.empty() &&
      from_ == DatasetSpec::IDX) {
    return absl::InvalidArgumentError(
        absl::StrCat(options_.input, " are ", files_.size(),
                     " files, and --labels is one: convert them one by one"));
  }
  TFD_RETURN_IF_ERROR(to_ == DatasetSpec::IDX ? ToIdx() : ToTable());
  return records_;
}

}  // namespace

absl::StatusOr<int64_t> ConvertFiles(const ConvertOptions& options,
                                     const Progress& progress) {
  return Conversion(options, progress).Run();
}

}  // namespace tfd::data
