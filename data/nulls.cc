#include "data/nulls.h"

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/builder.h>
#include <arrow/compute/api_vector.h>
#include <arrow/datum.h>
#include <arrow/extension_type.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status.h"
#include "common/units.h"
#include "data/arrow_status.h"

namespace tfd::data {
namespace {

constexpr char kRefuse[] = "refuse";
constexpr char kDrop[] = "drop";
constexpr char kFill[] = "fill:";

template <typename T>
absl::StatusOr<std::string> BytesOf(double number, Dtype dtype) {
  if (std::is_integral<T>::value &&
      (number != std::floor(number) ||
       number < static_cast<double>(std::numeric_limits<T>::lowest()) ||
       number > static_cast<double>(std::numeric_limits<T>::max()) ||
       // max() of 64 bits is no double: the next one is not in range.
       (sizeof(T) == 8 &&
        number == static_cast<double>(std::numeric_limits<T>::max())))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "nulls: fill:", number, " is no number of the type ", DtypeName(dtype),
        ", which the column has: fill with one that is, or cast the column"));
  }
  const T value = static_cast<T>(number);
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

// A number as it lies in a column of the type.
absl::StatusOr<std::string> NumberBytes(double number, Dtype dtype) {
  switch (dtype) {
    case Dtype::kUint8:
      return BytesOf<uint8_t>(number, dtype);
    case Dtype::kInt8:
      return BytesOf<int8_t>(number, dtype);
    case Dtype::kUint16:
      return BytesOf<uint16_t>(number, dtype);
    case Dtype::kInt16:
      return BytesOf<int16_t>(number, dtype);
    case Dtype::kUint32:
      return BytesOf<uint32_t>(number, dtype);
    case Dtype::kInt32:
      return BytesOf<int32_t>(number, dtype);
    case Dtype::kUint64:
      return BytesOf<uint64_t>(number, dtype);
    case Dtype::kInt64:
      return BytesOf<int64_t>(number, dtype);
    case Dtype::kFloat32:
      return BytesOf<float>(number, dtype);
    case Dtype::kFloat64:
      return BytesOf<double>(number, dtype);
  }
  return absl::InternalError("a type that is not known");
}

// Writes rows of numbers, one after the other.
class Filler {
 public:
  Filler(uint8_t* out, std::string fill) : out_(out), fill_(std::move(fill)) {}

  // Elements [begin, end), each with as many numbers as its type has.
  void Append(const arrow::Array& array, int64_t begin, int64_t end) {
    switch (array.type_id()) {
      case arrow::Type::EXTENSION:
        Append(*static_cast<const arrow::ExtensionArray&>(array).storage(),
               begin, end);
        break;
      case arrow::Type::FIXED_SIZE_LIST: {
        const auto& lists =
            static_cast<const arrow::FixedSizeListArray&>(array);
        for (int64_t i = begin; i < end; ++i) {
          if (lists.IsNull(i)) {
            AppendFill(NumbersIn(*lists.type()));
          } else {
            Append(*lists.values(), lists.value_offset(i),
                   lists.value_offset(i + 1));
          }
        }
        break;
      }
      case arrow::Type::FIXED_SIZE_BINARY: {
        const auto& bytes =
            static_cast<const arrow::FixedSizeBinaryArray&>(array);
        for (int64_t i = begin; i < end; ++i) {
          if (bytes.IsNull(i)) {
            AppendFill(bytes.byte_width());
          } else {
            AppendBytes(bytes.GetValue(i), bytes.byte_width());
          }
        }
        break;
      }
      default: {
        const int64_t size = static_cast<int64_t>(fill_.size());
        const uint8_t* from =
            array.data()->buffers[1]->data() + array.offset() * size;
        for (int64_t i = begin; i < end; ++i) {
          if (array.IsNull(i)) {
            AppendFill(1);
          } else {
            AppendBytes(from + i * size, size);
          }
        }
      }
    }
  }

  void AppendFill(int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      AppendBytes(fill_.data(), static_cast<int64_t>(fill_.size()));
    }
  }
  void AppendBytes(const void* from, int64_t size_bytes) {
    std::memcpy(out_, from, static_cast<size_t>(size_bytes));
    out_ += size_bytes;
  }

  // In one element of a type of fixed size.
  static int64_t NumbersIn(const arrow::DataType& type) {
    if (type.id() == arrow::Type::FIXED_SIZE_BINARY) {
      return static_cast<const arrow::FixedSizeBinaryType&>(type).byte_width();
    }
    if (type.id() != arrow::Type::FIXED_SIZE_LIST) return 1;
    const auto& list = static_cast<const arrow::FixedSizeListType&>(type);
    return list.list_size() * NumbersIn(*list.value_type());
  }

 private:
  uint8_t* out_;
  const std::string fill_;
};

template <typename ArrayType>
void AppendRow(const ArrayType& rows, int64_t row, std::true_type,
               Filler* out) {
  out->Append(*rows.values(), rows.value_offset(row),
              rows.value_offset(row + 1));
}
template <typename ArrayType>
void AppendRow(const ArrayType& rows, int64_t row, std::false_type,
               Filler* out) {
  const auto view = rows.GetView(row);
  out->AppendBytes(view.data(), static_cast<int64_t>(view.size()));
}

absl::StatusOr<std::shared_ptr<arrow::Buffer>> BufferFor(int64_t numbers,
                                                         size_t size) {
  int64_t bytes = 0;
  if (__builtin_mul_overflow(numbers, static_cast<int64_t>(size), &bytes)) {
    return absl::InvalidArgumentError("a column has too many numbers");
  }
  auto buffer = arrow::AllocateBuffer(bytes);
  if (!buffer.ok()) return FromArrow(buffer);
  return std::shared_ptr<arrow::Buffer>(*std::move(buffer));
}

// Rows of any length, that must all be of one: lists or bytes.
template <typename ArrayType, typename IsList>
absl::StatusOr<std::shared_ptr<arrow::Buffer>> FillRows(const ArrayType& rows,
                                                        IsList is_list,
                                                        std::string fill,
                                                        int64_t* width,
                                                        int64_t* bad_row) {
  for (int64_t row = 0; row < rows.length(); ++row) {
    if (rows.IsNull(row)) continue;
    if (*width == 0) *width = rows.value_length(row);
    if (*width == rows.value_length(row)) continue;
    *bad_row = row;
    return absl::InvalidArgumentError("rows are of several sizes");
  }
  if (*width == 0) {
    *bad_row = 0;
    return absl::InvalidArgumentError(
        "its first rows are null, so that nothing says how many numbers to "
        "fill in: take a list of fixed size, or nulls: drop");
  }
  TFD_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> buffer,
                       BufferFor(rows.length() * *width, fill.size()));
  Filler out(buffer->mutable_data(), std::move(fill));
  for (int64_t row = 0; row < rows.length(); ++row) {
    if (rows.IsNull(row)) {
      out.AppendFill(*width);
    } else {
      AppendRow(rows, row, is_list, &out);
    }
  }
  return buffer;
}

template <typename ListType>
bool HasNullInLists(const ListType& lists, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    if (HasNull(*lists.values(), lists.value_offset(i),
                lists.value_offset(i) + lists.value_length(i))) {
      return true;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<NullPolicy> NullPolicyOf(const std::string& nulls) {
  NullPolicy policy;
  if (nulls.empty() || nulls == kRefuse) return policy;
  policy.kind = NullPolicy::Kind::kDrop;
  if (nulls == kDrop) return policy;
  policy.kind = NullPolicy::Kind::kFill;
  absl::string_view number = nulls;
  if (absl::ConsumePrefix(&number, kFill) &&
      absl::SimpleAtod(number, &policy.fill) && std::isfinite(policy.fill)) {
    return policy;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("nulls: \"", nulls,
                   "\" is neither refuse, drop nor fill:NUMBER, for example "
                   "fill:0"));
}

std::string NoRowsText(int64_t left_out) {
  if (left_out == 0) return "has no rows";
  return absl::StrCat("each of its ", FormatCount(left_out),
                      " rows has a null in one of the columns, and nulls: drop "
                      "leaves them all out: is the right column named?");
}

bool HasNull(const arrow::Array& array, int64_t begin, int64_t end) {
  if (array.null_count() > 0) {
    for (int64_t i = begin; i < end; ++i) {
      if (array.IsNull(i)) return true;
    }
  }
  switch (array.type_id()) {
    case arrow::Type::EXTENSION:
      return HasNull(
          *static_cast<const arrow::ExtensionArray&>(array).storage(), begin,
          end);
    case arrow::Type::LIST:
      return HasNullInLists(static_cast<const arrow::ListArray&>(array), begin,
                            end);
    case arrow::Type::LARGE_LIST:
      return HasNullInLists(static_cast<const arrow::LargeListArray&>(array),
                            begin, end);
    case arrow::Type::FIXED_SIZE_LIST: {
      const auto& lists = static_cast<const arrow::FixedSizeListArray&>(array);
      return HasNull(*lists.values(), lists.value_offset(begin),
                     lists.value_offset(end));
    }
    default:
      return false;
  }
}

absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> DropNulls(
    std::shared_ptr<arrow::RecordBatch> batch, const std::vector<int>& columns,
    RowNumbers* numbers) {
  std::vector<const arrow::Array*> with_nulls;
  for (const int column : columns) {
    const arrow::Array& array = *batch->column(column);
    const arrow::Status valid = array.ValidateFull();
    if (!valid.ok()) return absl::InvalidArgumentError(valid.message());
    if (HasNull(array, 0, array.length())) with_nulls.push_back(&array);
  }
  if (with_nulls.empty()) return batch;
  arrow::Int64Builder rows;
  std::vector<int64_t> kept;
  for (int64_t row = 0; row < batch->num_rows(); ++row) {
    bool null = false;
    for (const arrow::Array* array : with_nulls) {
      null = null || HasNull(*array, row, row + 1);
    }
    if (null) continue;
    kept.push_back(numbers->At(row) - numbers->first);
    TFD_RETURN_IF_ARROW_ERROR(rows.Append(row));
  }
  numbers->kept = std::move(kept);
  auto indices = rows.Finish();
  if (!indices.ok()) return FromArrow(indices);
  auto taken = arrow::compute::Take(
      arrow::Datum(std::move(batch)), arrow::Datum(*std::move(indices)),
      arrow::compute::TakeOptions::NoBoundsCheck());
  if (!taken.ok()) return FromArrow(taken);
  return taken->record_batch();
}

absl::StatusOr<std::shared_ptr<arrow::Buffer>> FillNulls(
    const arrow::Array& column, Dtype dtype, double fill, int64_t* width,
    int64_t* bad_row) {
  TFD_ASSIGN_OR_RETURN(std::string bytes, NumberBytes(fill, dtype));
  switch (column.type_id()) {
    case arrow::Type::EXTENSION:
      return FillNulls(
          *static_cast<const arrow::ExtensionArray&>(column).storage(), dtype,
          fill, width, bad_row);
    case arrow::Type::LIST:
      return FillRows(static_cast<const arrow::ListArray&>(column),
                      std::true_type(), std::move(bytes), width, bad_row);
    case arrow::Type::LARGE_LIST:
      return FillRows(static_cast<const arrow::LargeListArray&>(column),
                      std::true_type(), std::move(bytes), width, bad_row);
    case arrow::Type::BINARY:
      return FillRows(static_cast<const arrow::BinaryArray&>(column),
                      std::false_type(), std::move(bytes), width, bad_row);
    case arrow::Type::LARGE_BINARY:
      return FillRows(static_cast<const arrow::LargeBinaryArray&>(column),
                      std::false_type(), std::move(bytes), width, bad_row);
    default: {
      *width = Filler::NumbersIn(*column.type());
      TFD_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Buffer> buffer,
                           BufferFor(column.length() * *width, bytes.size()));
      Filler(buffer->mutable_data(), std::move(bytes))
          .Append(column, 0, column.length());
      return buffer;
    }
  }
}

}  // namespace tfd::data
