// RecordSchema's other half: where the numbers of a record batch lie.
#include <arrow/array.h>
#include <arrow/extension_type.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/byte_size.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "data/plain_columns.h"
#include "data/record_schema.h"

namespace tfd::data {
namespace {

// The array with its lists of fixed size and extension types taken off.
// `start` is where its rows begin, in elements of the result.
const arrow::Array& Innermost(const arrow::Array& array, int64_t* start) {
  *start = array.offset();
  const arrow::Array* inner = &array;
  while (true) {
    if (inner->type_id() == arrow::Type::EXTENSION) {
      inner = static_cast<const arrow::ExtensionArray&>(*inner).storage().get();
    } else if (inner->type_id() == arrow::Type::FIXED_SIZE_LIST) {
      const auto& list = static_cast<const arrow::FixedSizeListArray&>(*inner);
      inner = list.values().get();
      *start = *start * list.value_length() + inner->offset();
    } else {
      return *inner;
    }
  }
}

const std::byte* BufferAt(const arrow::Array& array, int index,
                          int64_t offset_bytes) {
  const auto& buffers = array.data()->buffers;
  if (static_cast<size_t>(index) >= buffers.size() || !buffers[index]) {
    return nullptr;
  }
  return reinterpret_cast<const std::byte*>(buffers[index]->data()) +
         offset_bytes;
}

// The place and the common width of rows of lists or bytes. -1 where widths
// differ, with the first row that differs in `bad_row`.
template <typename ArrayType>
int64_t CommonWidth(const ArrayType& array, int64_t* bad_row) {
  // In 64 bits: the offsets may be any numbers.
  const auto width_of = [&array](int64_t row) {
    return int64_t{array.value_offset(row + 1)} - array.value_offset(row);
  };
  const int64_t width = width_of(0);
  for (int64_t row = 1; row < array.length(); ++row) {
    if (width_of(row) != width) {
      *bad_row = row;
      return -1;
    }
  }
  return width;
}

// The first null of the array. A row is `per_row` of its elements, and the
// first row begins with element `start`.
absl::Status NullIn(const std::string& column, const arrow::Array& array,
                    const RowNumbers& numbers, int64_t start = 0,
                    int64_t per_row = 1) {
  int64_t element = start;
  while (element + 1 < array.length() && !array.IsNull(element)) ++element;
  return absl::InvalidArgumentError(
      absl::StrCat("column \"", column, "\" has a null in row ",
                   numbers.At((element - start) / per_row),
                   ": fill or drop rows with nulls (in the dataset's spec, "
                   "nulls: drop; for features also nulls: fill:0)"));
}

template <typename ListType>
absl::Status ListView(const ListType& list, const std::string& name,
                      const RowNumbers& numbers, int64_t* bad_row,
                      ColumnView* view) {
  view->width = CommonWidth(list, bad_row);
  if (view->width > 0 && list.values()->null_count() > 0) {
    return Annotate(NullIn(name, *list.values(), numbers, list.value_offset(0),
                           view->width),
                    "nulls inside lists");
  }
  view->base = BufferAt(*list.values(), 1,
                        (list.values()->offset() + list.value_offset(0)) *
                            static_cast<int64_t>(SizeBytes(view->dtype)));
  return absl::OkStatus();
}

// Whether there may be a null in the array or in what is in it.
bool MayHaveNulls(const arrow::ArrayData& array) {
  if (array.GetNullCount() > 0) return true;
  return std::any_of(array.child_data.begin(), array.child_data.end(),
                     [](const auto& child) { return MayHaveNulls(*child); });
}

// Whether all are finite: no exponent of only ones. (Without a branch in the
// loop, which is then done many numbers at a time.)
template <typename Bits>
bool AllFinite(const std::byte* base, int64_t count, Bits exponent) {
  Bits bad = 0;
  for (int64_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, base + i * sizeof(bits), sizeof(bits));
    bad |= static_cast<Bits>((bits & exponent) == exponent);
  }
  return bad == 0;
}

bool AllFinite(const ColumnView& view, int64_t first, int64_t rows) {
  const std::byte* base =
      view.base + first * view.width * SizeBytes(view.dtype);
  switch (view.dtype) {
    case Dtype::kFloat32:
      return AllFinite<uint32_t>(base, rows * view.width, 0x7f800000);
    case Dtype::kFloat64:
      return AllFinite<uint64_t>(base, rows * view.width, 0x7ff0000000000000);
    default:
      return true;
  }
}

}  // namespace

int64_t ElementsIn(const std::vector<int64_t>& shape) {
  int64_t product = 1;
  for (const int64_t dimension : shape) {
    if (__builtin_mul_overflow(product, dimension, &product)) return -1;
  }
  return product;
}

absl::StatusOr<ColumnView> RecordSchema::View(const Column& column,
                                              const arrow::Array& array,
                                              const RowNumbers& numbers) {
  ColumnView view;
  view.dtype = column.dtype;
  view.width = column.shape.empty() ? 0 : ElementsIn(column.shape);
  if (array.length() == 0) return view;
  if (array.null_count() > 0) return NullIn(column.name, array, numbers);
  int64_t start = 0;
  const arrow::Array& inner = Innermost(array, &start);
  int64_t bad_row = 0;
  switch (inner.type_id()) {
    case arrow::Type::BINARY: {
      const auto& bytes = static_cast<const arrow::BinaryArray&>(inner);
      view.width = CommonWidth(bytes, &bad_row);
      view.base = BufferAt(inner, 2, bytes.value_offset(0));
      break;
    }
    case arrow::Type::LARGE_BINARY: {
      const auto& bytes = static_cast<const arrow::LargeBinaryArray&>(inner);
      view.width = CommonWidth(bytes, &bad_row);
      view.base = BufferAt(inner, 2, bytes.value_offset(0));
      break;
    }
    case arrow::Type::LIST:
      TFD_RETURN_IF_ERROR(ListView(static_cast<const arrow::ListArray&>(inner),
                                   column.name, numbers, &bad_row, &view));
      break;
    case arrow::Type::LARGE_LIST:
      TFD_RETURN_IF_ERROR(
          ListView(static_cast<const arrow::LargeListArray&>(inner),
                   column.name, numbers, &bad_row, &view));
      break;
    case arrow::Type::FIXED_SIZE_BINARY:
      view.base = BufferAt(inner, 1, start * view.width);
      break;
    default:
      if (inner.null_count() > 0) {
        return NullIn(column.name, inner, numbers, start - inner.offset(),
                      view.width);
      }
      view.base = BufferAt(
          inner, 1, start * static_cast<int64_t>(SizeBytes(column.dtype)));
  }
  if (view.width < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "column \"", column.name, "\": row ", numbers.At(bad_row),
        " has another number of values than the rows before it: all records "
        "must be of one size"));
  }
  if (view.width == 0 || view.base == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "column \"", column.name, "\": row ", numbers.At(0), " has no values"));
  }
  return view;
}

absl::Status RecordSchema::CheckWidth(const Column& column, int64_t width,
                                      int64_t first_row, int64_t* expected) {
  if (*expected == 0) *expected = width;
  if (*expected == width) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("column \"", column.name, "\": row ", first_row, " has ",
                   width, " values, and the dataset's rows before it have ",
                   *expected, ": all records must be of one size"));
}

absl::StatusOr<ColumnView> RecordSchema::Filled(const Column& column,
                                                const arrow::Array& array,
                                                double fill, int64_t width,
                                                RecordRows* rows) {
  ColumnView view;
  view.dtype = column.dtype;
  view.width = width;
  const auto fail = [&](const absl::Status& status, int64_t row) {
    return Annotate(status, absl::StrCat("column \"", column.name, "\", row ",
                                         rows->numbers.At(row)));
  };
  const arrow::Status valid = array.ValidateFull();
  if (!valid.ok()) {
    return fail(absl::InvalidArgumentError(valid.message()), 0);
  }
  int64_t bad_row = 0;
  auto filled = FillNulls(array, column.dtype, fill, &view.width, &bad_row);
  if (!filled.ok()) return fail(filled.status(), bad_row);
  view.base = reinterpret_cast<const std::byte*>((*filled)->data());
  rows->made_bytes += (*filled)->size();
  rows->buffers.push_back(*std::move(filled));
  return view;
}

absl::StatusOr<ColumnView> RecordSchema::Take(const Column& column,
                                              const arrow::RecordBatch& batch,
                                              bool is_label, int64_t width,
                                              RecordRows* rows) const {
  std::shared_ptr<arrow::Array> array = batch.GetColumnByName(column.name);
  if (column.plain) {
    auto plain = PlainArray(array, column.plain);
    if (!plain.ok()) {
      return Annotate(plain.status(),
                      absl::StrCat("column \"", column.name, "\""));
    }
    array = *std::move(plain);
    rows->made_bytes += arrow::util::TotalBufferSize(*array);
    rows->arrays.push_back(array);
  }
  const bool fill = nulls_.kind == NullPolicy::Kind::kFill && !is_label;
  if (fill && MayHaveNulls(*array->data())) {
    return Filled(column, *array, nulls_.fill, width, rows);
  }
  return View(column, *array, rows->numbers);
}

absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> RecordSchema::WithoutNulls(
    std::shared_ptr<arrow::RecordBatch> batch, RecordRows* rows) const {
  std::vector<int> columns;
  for (const Column& column : features_) {
    columns.push_back(batch->schema()->GetFieldIndex(column.name));
  }
  if (has_label()) {
    columns.push_back(batch->schema()->GetFieldIndex(label_.name));
  }
  const arrow::RecordBatch* const all = batch.get();
  TFD_ASSIGN_OR_RETURN(batch,
                       DropNulls(std::move(batch), columns, &rows->numbers));
  if (batch.get() != all) {
    rows->made_bytes += arrow::util::TotalBufferSize(*batch);
  }
  return batch;
}

absl::StatusOr<RecordRows> RecordSchema::ViewRows(
    std::shared_ptr<arrow::RecordBatch> batch, RowNumbers numbers,
    int64_t classes, RowWidths* widths) const {
  // Arrays that lie are found here; what it leaves (the offsets between the
  // first and the last) View looks at.
  const arrow::Status valid = batch->Validate();
  if (!valid.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a record batch is damaged: ", valid.message()));
  }
  RecordRows rows;
  rows.source_rows = batch->num_rows();
  rows.numbers = std::move(numbers);
  if (nulls_.kind == NullPolicy::Kind::kDrop) {
    TFD_ASSIGN_OR_RETURN(batch, WithoutNulls(std::move(batch), &rows));
  }
  rows.rows = batch->num_rows();
  RowWidths seen = widths->empty() ? RowWidths(features_.size()) : *widths;
  for (size_t i = 0; i < features_.size(); ++i) {
    TFD_ASSIGN_OR_RETURN(
        const ColumnView view,
        Take(features_[i], *batch, /*is_label=*/false, seen[i], &rows));
    if (rows.rows > 0) {
      TFD_RETURN_IF_ERROR(
          CheckWidth(features_[i], view.width, rows.numbers.At(0), &seen[i]));
    }
    rows.features.push_back(view);
  }
  if (has_label()) {
    TFD_ASSIGN_OR_RETURN(rows.label, Take(label_, *batch, /*is_label=*/true,
                                          /*width=*/1, &rows));
    TFD_RETURN_IF_ERROR(CheckRowLabels(rows, classes));
  }
  if (rows.rows > 0) *widths = seen;
  rows.owner = std::move(batch);
  return rows;
}

absl::Status RecordSchema::CheckRowLabels(const RecordRows& rows,
                                          int64_t classes) const {
  for (int64_t row = 0; row < rows.rows; ++row) {
    const int64_t label = LabelAt(rows.label, row);
    if (label >= 0 && (classes == 0 || label < classes)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "column \"", label_.name, "\": the label in row ", rows.numbers.At(row),
        " is ", label,
        classes == 0
            ? std::string("; labels are the numbers of classes, from 0")
            : absl::StrCat("; the model has ", classes,
                           " classes, so labels are 0 to ", classes - 1)));
  }
  return absl::OkStatus();
}

absl::Status RecordSchema::CheckFinite(const RecordRows& rows) const {
  for (size_t i = 0; i < rows.features.size(); ++i) {
    const ColumnView& view = rows.features[i];
    if (rows.rows == 0 || AllFinite(view, 0, rows.rows)) continue;
    int64_t row = 0;
    while (AllFinite(view, row, 1)) ++row;
    return absl::InvalidArgumentError(
        absl::StrCat("column \"", features_[i].name, "\": row ",
                     rows.numbers.At(row), " has a number that is not finite"));
  }
  return absl::OkStatus();
}

int64_t LabelAt(const ColumnView& label, int64_t row) {
  const size_t size = SizeBytes(label.dtype);
  uint64_t raw = 0;
  std::memcpy(&raw, label.base + row * size, size);
  switch (label.dtype) {
    case Dtype::kInt8:
      return static_cast<int8_t>(raw);
    case Dtype::kInt16:
      return static_cast<int16_t>(raw);
    case Dtype::kInt32:
      return static_cast<int32_t>(raw);
    default:
      // A uint64 beyond int64 becomes negative, and no label.
      return static_cast<int64_t>(raw);
  }
}

}  // namespace tfd::data
