#include "data/expand_columns.h"

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "data/arrow_status.h"

namespace tfd::data {
namespace {

bool HasManyNumbers(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::LIST:
    case arrow::Type::LARGE_LIST:
    case arrow::Type::FIXED_SIZE_LIST:
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::FIXED_SIZE_BINARY:
    case arrow::Type::EXTENSION:
      return true;
    default:
      return false;
  }
}

// Number `index` of every row.
absl::StatusOr<std::shared_ptr<arrow::Array>> NumberColumn(
    const ColumnView& view, int64_t rows, int64_t index) {
  const size_t size = SizeBytes(view.dtype);
  auto buffer = arrow::AllocateBuffer(static_cast<int64_t>(rows * size));
  if (!buffer.ok()) return FromArrow(buffer);
  uint8_t* out = (*buffer)->mutable_data();
  const std::byte* in = view.base + index * size;
  for (int64_t row = 0; row < rows; ++row) {
    std::memcpy(out + row * size, in + row * view.width * size, size);
  }
  return arrow::MakeArray(arrow::ArrayData::Make(
      ArrowTypeOf(view.dtype), rows,
      {nullptr, std::shared_ptr<arrow::Buffer>(*std::move(buffer))},
      /*null_count=*/0));
}

}  // namespace

std::shared_ptr<arrow::DataType> ArrowTypeOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kUint8:
      return arrow::uint8();
    case Dtype::kInt8:
      return arrow::int8();
    case Dtype::kUint16:
      return arrow::uint16();
    case Dtype::kInt16:
      return arrow::int16();
    case Dtype::kUint32:
      return arrow::uint32();
    case Dtype::kInt32:
      return arrow::int32();
    case Dtype::kUint64:
      return arrow::uint64();
    case Dtype::kInt64:
      return arrow::int64();
    case Dtype::kFloat32:
      return arrow::float32();
    case Dtype::kFloat64:
      return arrow::float64();
  }
  return arrow::null();
}

absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> ColumnExpander::Expand(
    const arrow::RecordBatch& batch) {
  arrow::FieldVector fields;
  arrow::ArrayVector arrays;
  widths_.resize(batch.num_columns());
  for (int i = 0; i < batch.num_columns(); ++i) {
    const auto& field = batch.schema()->field(i);
    if (!HasManyNumbers(*field->type())) {
      fields.push_back(field);
      arrays.push_back(batch.column(i));
      continue;
    }
    // The matcher of datasets knows where the numbers are.
    const auto column = arrow::RecordBatch::Make(
        arrow::schema({field}), batch.num_rows(), {batch.column(i)});
    TFD_ASSIGN_OR_RETURN(
        const RecordSchema schema,
        RecordSchema::OfTable(column->schema(), {{field->name()}, ""}));
    TFD_ASSIGN_OR_RETURN(const RecordRows rows,
                         schema.ViewRows(column, {rows_, {}}, 0, &widths_[i]));
    const ColumnView& view = rows.features[0];
    for (int64_t number = 0; number < view.width; ++number) {
      fields.push_back(arrow::field(absl::StrCat(field->name(), "_", number),
                                    ArrowTypeOf(view.dtype)));
      TFD_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Array> array,
                           NumberColumn(view, rows.rows, number));
      arrays.push_back(std::move(array));
    }
  }
  rows_ += batch.num_rows();
  return arrow::RecordBatch::Make(arrow::schema(std::move(fields)),
                                  batch.num_rows(), std::move(arrays));
}

}  // namespace tfd::data
