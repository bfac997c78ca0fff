#include "data/idx_table.h"

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "data/arrow_status.h"
#include "data/expand_columns.h"
#include "data/idx.h"

namespace tfd::data {
namespace {

constexpr uint64_t kIdxBytesAtATime = 8 << 20;
constexpr char kIdxFeatures[] = "features";
// More dimensions than this are no IDX file (idx.cc).
constexpr size_t kMaxIdxRowDimensions = 7;

class IdxTableReader : public TableReader {
 public:
  IdxTableReader(IdxFile features, std::optional<IdxFile> labels,
                 const std::string& label_column, ImageColumn image_column)
      : features_(std::move(features)), labels_(std::move(labels)) {
    std::shared_ptr<arrow::DataType> type = ArrowTypeOf(features_.dtype());
    const std::vector<int64_t>& shape = features_.row_shape();
    if (image_column == ImageColumn::kShaped) {
      for (size_t i = shape.size(); i-- > 0;) {
        type = arrow::fixed_size_list(type, static_cast<int32_t>(shape[i]));
      }
    } else if (!shape.empty()) {
      type = features_.dtype() == Dtype::kUint8
                 ? arrow::binary()
                 : arrow::fixed_size_list(
                       type, static_cast<int32_t>(features_.row_elements()));
    }
    arrow::FieldVector fields = {arrow::field(kIdxFeatures, type)};
    if (labels_) {
      fields.push_back(
          arrow::field(label_column, ArrowTypeOf(labels_->dtype())));
    }
    schema_ = arrow::schema(std::move(fields));
    columns_.resize(schema_->num_fields());
    for (size_t i = 0; i < columns_.size(); ++i) {
      columns_[i] = static_cast<int>(i);
    }
  }

  const std::shared_ptr<arrow::Schema>& schema() const override {
    return schema_;
  }
  absl::Status Select(const std::vector<int>& columns) override {
    columns_ = columns;
    return absl::OkStatus();
  }
  absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> Next() override;
  uint64_t memory_bytes() const override { return kIdxBytesAtATime; }

 private:
  // Rows [next_, next_ + rows) as they lie in memory.
  absl::StatusOr<std::shared_ptr<arrow::Buffer>> ReadRows(const IdxFile& file,
                                                          int64_t rows) const;

  const IdxFile features_;
  const std::optional<IdxFile> labels_;
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<int> columns_;
  uint64_t next_ = 0;
};

absl::StatusOr<std::shared_ptr<arrow::Buffer>> IdxTableReader::ReadRows(
    const IdxFile& file, int64_t rows) const {
  const size_t row_bytes = file.row_elements() * SizeBytes(file.dtype());
  auto buffer = arrow::AllocateBuffer(static_cast<int64_t>(rows * row_bytes));
  if (!buffer.ok()) return FromArrow(buffer);
  std::vector<std::byte> scratch;
  for (int64_t row = 0; row < rows; ++row) {
    TFD_ASSIGN_OR_RETURN(const void* numbers, file.Row(next_ + row, &scratch));
    std::memcpy((*buffer)->mutable_data() + row * row_bytes, numbers,
                row_bytes);
  }
  return std::shared_ptr<arrow::Buffer>(*std::move(buffer));
}

// `numbers` as an array of `type`: numbers, lists of fixed size, or binary.
absl::StatusOr<std::shared_ptr<arrow::Array>> RowsArray(
    const std::shared_ptr<arrow::DataType>& type, int64_t rows,
    int64_t row_elements, std::shared_ptr<arrow::Buffer> numbers) {
  if (type->id() == arrow::Type::BINARY) {
    auto offsets = arrow::AllocateBuffer((rows + 1) * sizeof(int32_t));
    if (!offsets.ok()) return FromArrow(offsets);
    auto* offset = reinterpret_cast<int32_t*>((*offsets)->mutable_data());
    for (int64_t row = 0; row <= rows; ++row) {
      offset[row] = static_cast<int32_t>(row * row_elements);
    }
    return std::make_shared<arrow::BinaryArray>(
        rows, std::shared_ptr<arrow::Buffer>(*std::move(offsets)),
        std::move(numbers));
  }
  if (type->id() == arrow::Type::FIXED_SIZE_LIST) {
    const auto& list = static_cast<const arrow::FixedSizeListType&>(*type);
    TFD_ASSIGN_OR_RETURN(
        std::shared_ptr<arrow::Array> values,
        RowsArray(list.value_type(), rows * list.list_size(),
                  row_elements / list.list_size(), std::move(numbers)));
    return std::make_shared<arrow::FixedSizeListArray>(type, rows,
                                                       std::move(values));
  }
  return arrow::MakeArray(
      arrow::ArrayData::Make(type, rows, {nullptr, std::move(numbers)}, 0));
}

absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> IdxTableReader::Next() {
  if (next_ >= features_.rows()) return nullptr;
  const uint64_t row_bytes =
      features_.row_elements() * SizeBytes(features_.dtype());
  const auto rows = static_cast<int64_t>(
      std::min(features_.rows() - next_,
               std::max<uint64_t>(1, kIdxBytesAtATime / row_bytes)));
  arrow::ArrayVector arrays;
  arrow::FieldVector fields;
  for (const int column : columns_) {
    const IdxFile& file = column == 0 ? features_ : *labels_;
    fields.push_back(schema_->field(column));
    TFD_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> numbers,
                         ReadRows(file, rows));
    TFD_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Array> array,
                         RowsArray(fields.back()->type(), rows,
                                   file.row_elements(), std::move(numbers)));
    arrays.push_back(std::move(array));
  }
  next_ += rows;
  return arrow::RecordBatch::Make(arrow::schema(std::move(fields)), rows,
                                  std::move(arrays));
}

template <typename T>
T Load(const std::byte* in) {
  T value;
  std::memcpy(&value, in, sizeof(value));
  return value;
}

// Exact, but for 64-bit integers that no IDX file can hold anyway.
double NumberAt(Dtype dtype, const std::byte* in) {
  switch (dtype) {
    case Dtype::kUint8:
      return Load<uint8_t>(in);
    case Dtype::kInt8:
      return Load<int8_t>(in);
    case Dtype::kUint16:
      return Load<uint16_t>(in);
    case Dtype::kInt16:
      return Load<int16_t>(in);
    case Dtype::kUint32:
      return Load<uint32_t>(in);
    case Dtype::kInt32:
      return Load<int32_t>(in);
    case Dtype::kUint64:
      return static_cast<double>(Load<uint64_t>(in));
    case Dtype::kInt64:
      return static_cast<double>(Load<int64_t>(in));
    case Dtype::kFloat32:
      return Load<float>(in);
    case Dtype::kFloat64:
      return Load<double>(in);
  }
  return 0;
}

template <typename T>
void AppendNumber(double number, std::string* out) {
  const T value = static_cast<T>(number);
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  // IDX is big endian.
  std::reverse(bytes, bytes + sizeof(T));
  out->append(bytes, sizeof(T));
}

void AppendNumber(Dtype dtype, double number, std::string* out) {
  switch (dtype) {
    case Dtype::kUint8:
      return AppendNumber<uint8_t>(number, out);
    case Dtype::kInt8:
      return AppendNumber<int8_t>(number, out);
    case Dtype::kInt16:
      return AppendNumber<int16_t>(number, out);
    case Dtype::kInt32:
      return AppendNumber<int32_t>(number, out);
    case Dtype::kFloat32:
      return AppendNumber<float>(number, out);
    default:
      return AppendNumber<double>(number, out);
  }
}

uint8_t IdxCode(Dtype dtype) {
  switch (dtype) {
    case Dtype::kUint8:
      return 0x08;
    case Dtype::kInt8:
      return 0x09;
    case Dtype::kInt16:
      return 0x0b;
    case Dtype::kInt32:
      return 0x0c;
    case Dtype::kFloat32:
      return 0x0d;
    default:
      return 0x0e;
  }
}

// The smallest IDX type that holds integers from `smallest` to `largest`.
std::optional<Dtype> IntegerType(double smallest, double largest) {
  const auto holds = [&](auto limits) {
    return smallest >= static_cast<double>(limits.min()) &&
           largest <= static_cast<double>(limits.max());
  };
  if (holds(std::numeric_limits<uint8_t>())) return Dtype::kUint8;
  if (holds(std::numeric_limits<int8_t>())) return Dtype::kInt8;
  if (holds(std::numeric_limits<int16_t>())) return Dtype::kInt16;
  if (holds(std::numeric_limits<int32_t>())) return Dtype::kInt32;
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<WritableFile>> CreateIdx(
    const std::string& path, Dtype dtype, int64_t rows,
    const std::vector<int64_t>& row_shape) {
  TFD_ASSIGN_OR_RETURN(Location location, ResolveUri(path));
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file,
                       location.file_system->OpenForWriting(location.path));
  std::string header = {0, 0, static_cast<char>(IdxCode(dtype)),
                        static_cast<char>(1 + row_shape.size())};
  std::vector<int64_t> dimensions = {rows};
  dimensions.insert(dimensions.end(), row_shape.begin(), row_shape.end());
  for (const int64_t dimension : dimensions) {
    if (dimension > std::numeric_limits<uint32_t>::max()) {
      return absl::InvalidArgumentError(
          absl::StrCat("IDX counts to 4294967295, and there are ", dimension));
    }
    for (int shift = 24; shift >= 0; shift -= 8) {
      header.push_back(static_cast<char>(dimension >> shift));
    }
  }
  TFD_RETURN_IF_ERROR(file->Append(header.data(), header.size()));
  return file;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TableReader>> OpenIdxTable(
    const std::string& features, const std::string& labels,
    const std::string& label_column, ImageColumn image_column) {
  TFD_ASSIGN_OR_RETURN(IdxFile feature_file, IdxFile::Open(features));
  std::optional<IdxFile> label_file;
  if (!labels.empty()) {
    TFD_ASSIGN_OR_RETURN(label_file, IdxFile::Open(labels));
    TFD_RETURN_IF_ERROR(CheckLabelFile(feature_file, *label_file));
  }
  return std::make_unique<IdxTableReader>(std::move(feature_file),
                                          std::move(label_file), label_column,
                                          image_column);
}

absl::StatusOr<std::unique_ptr<IdxTableWriter>> IdxTableWriter::Make(
    std::shared_ptr<arrow::Schema> schema, const ColumnNames& names) {
  TFD_ASSIGN_OR_RETURN(RecordSchema records,
                       RecordSchema::OfTable(std::move(schema), names));
  return std::unique_ptr<IdxTableWriter>(
      new IdxTableWriter(std::move(records)));
}

absl::Status IdxTableWriter::Survey(std::shared_ptr<arrow::RecordBatch> batch) {
  TFD_ASSIGN_OR_RETURN(const RecordRows rows,
                       schema_.ViewRows(std::move(batch), {surveyed_, {}},
                                        /*classes=*/0, &widths_));
  for (const ColumnView& column : rows.features) {
    // Of single bytes nothing needs to be known.
    if (!IsInteger(column.dtype) || column.dtype == Dtype::kUint8) continue;
    const size_t size = SizeBytes(column.dtype);
    for (int64_t i = 0; i < rows.rows * column.width; ++i) {
      const double number = NumberAt(column.dtype, column.base + i * size);
      smallest_ = std::min(smallest_, number);
      largest_ = std::max(largest_, number);
    }
  }
  if (schema_.has_label()) {
    for (int64_t row = 0; row < rows.rows; ++row) {
      largest_label_ = std::max(largest_label_, LabelAt(rows.label, row));
    }
  }
  surveyed_ += rows.rows;
  return absl::OkStatus();
}

absl::StatusOr<Dtype> IdxTableWriter::FeatureType() const {
  const Dtype dtype = schema_.dtype();
  if (dtype == Dtype::kUint8 || !IsInteger(dtype)) return dtype;
  if (const auto smallest = IntegerType(smallest_, largest_)) return *smallest;
  return absl::InvalidArgumentError(absl::StrCat(
      "the features are integers from ", smallest_, " to ", largest_,
      ", and IDX holds those of 32 bits: cast them to float64"));
}

absl::Status IdxTableWriter::Create(const std::string& features,
                                    const std::string& labels) {
  TFD_ASSIGN_OR_RETURN(dtype_, FeatureType());
  std::vector<int64_t> shape = schema_.Shape(widths_);
  if (shape.size() > kMaxIdxRowDimensions) shape = {ElementsIn(shape)};
  TFD_ASSIGN_OR_RETURN(features_,
                       CreateIdx(features, dtype_, surveyed_, shape));
  if (labels.empty()) return absl::OkStatus();
  const auto label_dtype = IntegerType(0, static_cast<double>(largest_label_));
  if (!label_dtype) {
    return absl::InvalidArgumentError(
        absl::StrCat("the largest label is ", largest_label_,
                     ", and IDX holds integers of 32 bits"));
  }
  label_dtype_ = *label_dtype;
  TFD_ASSIGN_OR_RETURN(labels_, CreateIdx(labels, label_dtype_, surveyed_, {}));
  return absl::OkStatus();
}

absl::Status IdxTableWriter::Write(std::shared_ptr<arrow::RecordBatch> batch) {
  TFD_ASSIGN_OR_RETURN(const RecordRows rows,
                       schema_.ViewRows(std::move(batch), {written_, {}},
                                        /*classes=*/0, &widths_));
  std::string out;
  std::string labels;
  for (int64_t row = 0; row < rows.rows; ++row) {
    for (const ColumnView& column : rows.features) {
      const size_t size = SizeBytes(column.dtype);
      const std::byte* in = column.base + row * column.width * size;
      if (column.dtype == Dtype::kUint8 && dtype_ == Dtype::kUint8) {
        out.append(reinterpret_cast<const char*>(in), column.width);
        continue;
      }
      for (int64_t i = 0; i < column.width; ++i) {
        AppendNumber(dtype_, NumberAt(column.dtype, in + i * size), &out);
      }
    }
    if (labels_) {
      AppendNumber(label_dtype_, static_cast<double>(LabelAt(rows.label, row)),
                   &labels);
    }
  }
  written_ += rows.rows;
  if (labels_)
    TFD_RETURN_IF_ERROR(labels_->Append(labels.data(), labels.size()));
  return features_->Append(out.data(), out.size());
}

absl::Status IdxTableWriter::Finish() {
  if (written_ != surveyed_) {
    return absl::AbortedError(absl::StrCat(
        "there were ", surveyed_, " records at first and ", written_,
        " the second time: does somebody write the input meanwhile?"));
  }
  // Whoever finds the features finds the labels.
  if (labels_) TFD_RETURN_IF_ERROR(labels_->Commit());
  return features_->Commit();
}

}  // namespace tfd::data
