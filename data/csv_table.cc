#include "data/csv_table.h"

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/csv/api.h>
#include <arrow/io/memory.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <regex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/units.h"
#include "data/arrow_file.h"
#include "data/arrow_status.h"

namespace tfd::data {
namespace {

// Larger than Arrow's default: a block costs something per column, and images
// as CSV have hundreds.
constexpr int32_t kBlockBytes = 8 << 20;
// Of a value that is quoted in a message.
constexpr size_t kMaxQuotedBytes = 60;
// The header is row 1, so the first record is row 2.
constexpr int64_t kFirstRow = 2;

// The line of the file that Arrow's row is in: Arrow does not count empty
// lines. 0 where the file cannot be read.
int64_t LineOfRow(const std::string& path, int64_t row) {
  const auto file = OpenForArrow(path, ReadBy::kCopying);
  if (!file.ok()) return 0;
  int64_t line = 1;
  bool empty = true;
  while (true) {
    const auto block = (*file)->Read(kBlockBytes);
    if (!block.ok() || (*block)->size() == 0) return 0;
    for (const char c : (*block)->ToString()) {
      if (c == '\n') {
        ++line;
        empty = true;
      } else if (empty && c != '\r') {
        empty = false;
        if (--row == 0) return line;
      }
    }
  }
}

std::string Quoted(const std::string& value) {
  return value.size() <= kMaxQuotedBytes
             ? absl::StrCat("\"", value, "\"")
             : absl::StrCat("\"", value.substr(0, kMaxQuotedBytes), "…\"");
}

absl::Status WrongRow(const std::string& path, int64_t row,
                      const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ":", LineOfRow(path, row), ": ", what));
}

// Copies Arrow's columns of one block into rows, checking each value.
class BlockCopier {
 public:
  BlockCopier(const std::string& path, const CsvColumns& columns,
              int64_t classes)
      : path_(path), columns_(columns), classes_(classes) {}

  absl::StatusOr<CsvBlock> Copy(std::shared_ptr<arrow::RecordBatch> all) {
    const int64_t rows_there = all->num_rows();
    numbers_.first = kFirstRow + rows_before_;
    numbers_.kept.clear();
    if (columns_.nulls.kind == NullPolicy::Kind::kDrop) {
      std::vector<int> indices(all->num_columns());
      std::iota(indices.begin(), indices.end(), 0);
      TFD_ASSIGN_OR_RETURN(all, DropNulls(std::move(all), indices, &numbers_));
    }
    const arrow::RecordBatch& batch = *all;
    const auto rows = static_cast<size_t>(batch.num_rows());
    const size_t width = columns_.features.size();
    CsvBlock block;
    block.left_out = rows_there - batch.num_rows();
    block.features.resize(rows * width);
    for (size_t column = 0; column < width; ++column) {
      const auto& values =
          static_cast<const arrow::FloatArray&>(*batch.column(column));
      const float* in = values.raw_values();
      const bool has_nulls = values.null_count() > 0;
      for (size_t row = 0; row < rows; ++row) {
        if (has_nulls && values.IsNull(static_cast<int64_t>(row))) {
          block.features[row * width + column] =
              static_cast<float>(columns_.nulls.fill);
          continue;
        }
        if (!std::isfinite(in[row])) return NotFinite(row, column);
        block.features[row * width + column] = in[row];
      }
    }
    if (!columns_.label.empty()) {
      const auto& values =
          static_cast<const arrow::Int64Array&>(*batch.column(width));
      for (size_t row = 0; values.null_count() > 0 && row < rows; ++row) {
        if (values.IsNull(static_cast<int64_t>(row))) return NullLabel(row);
      }
      block.labels.assign(values.raw_values(), values.raw_values() + rows);
      TFD_RETURN_IF_ERROR(CheckLabels(block.labels));
    }
    rows_before_ += rows_there;
    return block;
  }

 private:
  absl::Status NotFinite(size_t row, size_t column) const {
    return WrongRow(path_, numbers_.At(static_cast<int64_t>(row)),
                    absl::StrCat("column \"", columns_.features[column],
                                 "\": is not a finite number"));
  }

  absl::Status NullLabel(size_t row) const {
    return WrongRow(path_, numbers_.At(static_cast<int64_t>(row)),
                    absl::StrCat("column \"", columns_.label,
                                 "\" has a null, and labels are not filled: "
                                 "leave such rows out with nulls: drop"));
  }

  absl::Status CheckLabels(const std::vector<int64_t>& labels) const {
    for (size_t row = 0; row < labels.size(); ++row) {
      const int64_t label = labels[row];
      if (label >= 0 && (classes_ == 0 || label < classes_)) continue;
      return WrongRow(
          path_, numbers_.At(static_cast<int64_t>(row)),
          absl::StrCat(
              "column \"", columns_.label, "\": the label is ", label,
              classes_ == 0
                  ? std::string("; labels are the numbers of classes, from 0")
                  : absl::StrCat("; the model has ", classes_,
                                 " classes, so labels are 0 to ",
                                 classes_ - 1)));
    }
    return absl::OkStatus();
  }

  const std::string& path_;
  const CsvColumns& columns_;
  const int64_t classes_;
  int64_t rows_before_ = 0;
  // Of the block.
  RowNumbers numbers_;
};

}  // namespace

absl::Status FromCsvError(const std::string& path,
                          const std::vector<std::string>& header,
                          const arrow::Status& status) {
  static const std::regex kBadValue(
      "In CSV column #(\\d+): Row #(\\d+): CSV conversion error to (\\w+): "
      "invalid value '([^]*)'[^]*");
  static const std::regex kBadCount(
      "CSV parse error: Row #(\\d+): Expected (\\d+) columns, got "
      "(\\d+)[^]*");
  const std::string& message = status.message();
  std::smatch match;
  if (std::regex_match(message, match, kBadValue)) {
    const size_t column = std::stoul(match[1]);
    const std::string name =
        column < header.size() ? header[column] : absl::StrCat("#", column);
    const std::string type = match[3];
    const bool nothing = match[4].length() == 0;
    const std::string wanted = type == "int64" ? "an integer"
                               : type == "float" || type == "double"
                                   ? "a number"
                                   : absl::StrCat("a ", type);
    return WrongRow(
        path, std::stoll(match[2]),
        absl::StrCat("column \"", name, "\": ",
                     nothing ? "nothing" : Quoted(match[4]), " is not ", wanted,
                     nothing ? " (nulls: drop leaves out rows like it, and "
                               "nulls: fill:0 fills in a feature)"
                             : ""));
  }
  if (std::regex_match(message, match, kBadCount)) {
    return WrongRow(path, std::stoll(match[1]),
                    absl::StrCat("has ", std::string(match[3]),
                                 " values, and the header line ",
                                 std::string(match[2]), " columns"));
  }
  return Annotate(FromArrow(status), path);
}

absl::StatusOr<std::shared_ptr<arrow::csv::StreamingReader>> OpenCsvStream(
    const std::string& path, const std::vector<std::string>& header,
    const arrow::csv::ConvertOptions& convert) {
  TFD_ASSIGN_OR_RETURN(auto stream, OpenForArrow(path, ReadBy::kCopying));
  auto read = arrow::csv::ReadOptions::Defaults();
  read.use_threads = false;  // only then do its errors name the row
  read.block_size = kBlockBytes;
  auto reader = arrow::csv::StreamingReader::Make(
      arrow::io::default_io_context(), std::move(stream), read,
      arrow::csv::ParseOptions::Defaults(), convert);
  if (!reader.ok()) return FromCsvError(path, header, reader.status());
  return *std::move(reader);
}

absl::StatusOr<std::vector<std::string>> ReadCsvHeader(
    const std::string& path) {
  TFD_ASSIGN_OR_RETURN(const auto file, OpenForArrow(path, ReadBy::kCopying));
  if (file->GetSize().ValueOr(-1) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path,
                     ": is empty; a CSV file begins with a line of the "
                     "columns' names"));
  }
  TFD_ASSIGN_OR_RETURN(
      const auto reader,
      OpenCsvStream(path, {}, arrow::csv::ConvertOptions::Defaults()));
  std::vector<std::string> names = reader->schema()->field_names();
  std::vector<std::string> sorted = names;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ":1: the header line has \"", *twice,
                     "\" twice; give every column a name of its own"));
  }
  return names;
}

absl::Status ReadCsv(const std::string& path, const CsvColumns& columns,
                     int64_t classes,
                     const std::function<absl::Status(CsvBlock)>& take) {
  TFD_ASSIGN_OR_RETURN(const std::vector<std::string> header,
                       ReadCsvHeader(path));
  auto convert = arrow::csv::ConvertOptions::Defaults();
  if (columns.nulls.kind == NullPolicy::Kind::kRefuse) {
    convert.null_values.clear();  // an empty value is an error, not a null
  }
  for (const std::string& name : columns.features) {
    convert.column_types[name] = arrow::float32();
    convert.include_columns.push_back(name);
  }
  if (!columns.label.empty()) {
    convert.column_types[columns.label] = arrow::int64();
    convert.include_columns.push_back(columns.label);
  }
  TFD_ASSIGN_OR_RETURN(const auto reader, OpenCsvStream(path, header, convert));
  BlockCopier copier(path, columns, classes);
  while (true) {
    std::shared_ptr<arrow::RecordBatch> batch;
    const arrow::Status status = reader->ReadNext(&batch);
    if (!status.ok()) return FromCsvError(path, header, status);
    if (!batch) return absl::OkStatus();
    TFD_ASSIGN_OR_RETURN(CsvBlock block, copier.Copy(std::move(batch)));
    TFD_RETURN_IF_ERROR(take(std::move(block)));
  }
}

}  // namespace tfd::data
