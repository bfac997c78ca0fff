#include "data/record_schema.h"

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/extension_type.h>
#include <arrow/ipc/dictionary.h>
#include <arrow/ipc/message.h>
#include <arrow/ipc/options.h>
#include <arrow/ipc/reader.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/nearest_name.h"
#include "common/status.h"

namespace tfd::data {
namespace {

// Arrow pads every buffer of a body to this.
constexpr int64_t kBodyAlignment = 8;
// Names and types of larger schemas are cut in messages.
constexpr size_t kMaxSchemaText = 600;
// Place of a field in the FlatBuffers table RecordBatch of Arrow's Message.fbs.
constexpr int kCompressionField = 3;

std::optional<Dtype> NumberType(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::UINT8:
      return Dtype::kUint8;
    case arrow::Type::INT8:
      return Dtype::kInt8;
    case arrow::Type::UINT16:
      return Dtype::kUint16;
    case arrow::Type::INT16:
      return Dtype::kInt16;
    case arrow::Type::UINT32:
      return Dtype::kUint32;
    case arrow::Type::INT32:
      return Dtype::kInt32;
    case arrow::Type::UINT64:
      return Dtype::kUint64;
    case arrow::Type::INT64:
      return Dtype::kInt64;
    case arrow::Type::FLOAT:
      return Dtype::kFloat32;
    case arrow::Type::DOUBLE:
      return Dtype::kFloat64;
    default:
      return std::nullopt;
  }
}

// What a producer writes instead of a type that cannot be taken.
std::string CastFor(const arrow::DataType& type, bool is_label) {
  if (type.id() == arrow::Type::DICTIONARY) {
    return "decode the dictionary before sending it (in pyarrow, "
           "column.dictionary_decode())";
  }
  if (is_label) return "cast it to int64";
  switch (type.id()) {
    case arrow::Type::BOOL:
      return "cast it to uint8";
    case arrow::Type::HALF_FLOAT:
      return "cast it to float32";
    case arrow::Type::DECIMAL128:
    case arrow::Type::DECIMAL256:
      return "cast it to float64";
    case arrow::Type::DATE32:
      return "cast it to int32";
    case arrow::Type::DATE64:
    case arrow::Type::TIMESTAMP:
    case arrow::Type::TIME64:
    case arrow::Type::DURATION:
      return "cast it to int64";
    case arrow::Type::STRUCT:
    case arrow::Type::MAP:
      return "send its parts as columns of numbers";
    default:
      return "send numbers, fixed-size lists or lists of numbers, or binary "
             "(taken as uint8)";
  }
}

const arrow::DataType& Storage(const arrow::DataType& type) {
  return type.id() == arrow::Type::EXTENSION
             ? *static_cast<const arrow::ExtensionType&>(type).storage_type()
             : type;
}

// The type and shape of a column's row, if it can be taken as features. The
// shape is empty where only the rows say.
struct RowType {
  Dtype dtype;
  std::vector<int64_t> shape;
};

std::optional<RowType> FeatureType(const arrow::DataType& type) {
  if (const auto number = NumberType(type)) return RowType{*number, {1}};
  switch (type.id()) {
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_BINARY:
      return RowType{Dtype::kUint8, {}};
    case arrow::Type::FIXED_SIZE_BINARY:
      return RowType{
          Dtype::kUint8,
          {static_cast<const arrow::FixedSizeBinaryType&>(type).byte_width()}};
    case arrow::Type::LIST:
    case arrow::Type::LARGE_LIST: {
      const auto number = NumberType(
          *static_cast<const arrow::BaseListType&>(type).value_type());
      if (!number) return std::nullopt;
      return RowType{*number, {}};
    }
    case arrow::Type::FIXED_SIZE_LIST: {
      const auto& list = static_cast<const arrow::FixedSizeListType&>(type);
      const arrow::DataType& value = *list.value_type();
      RowType row{Dtype::kFloat32, {list.list_size()}};
      if (const auto number = NumberType(value)) {
        row.dtype = *number;
        return row;
      }
      if (value.id() != arrow::Type::FIXED_SIZE_LIST) return std::nullopt;
      const auto inner = FeatureType(value);
      if (!inner) return std::nullopt;
      row.dtype = inner->dtype;
      row.shape.insert(row.shape.end(), inner->shape.begin(),
                       inner->shape.end());
      return row;
    }
    default:
      return std::nullopt;
  }
}

int64_t Product(const std::vector<int64_t>& shape) {
  int64_t product = 1;
  for (const int64_t dimension : shape) {
    if (__builtin_mul_overflow(product, dimension, &product)) return -1;
  }
  return product;
}

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

absl::Status NullIn(const std::string& column, const arrow::Array& array,
                    int64_t first_row) {
  int64_t row = 0;
  while (row < array.length() && !array.IsNull(row)) ++row;
  return absl::InvalidArgumentError(
      absl::StrCat("column \"", column, "\" has a null in row ",
                   first_row + row, ": fill or drop rows with nulls"));
}

template <typename ListType>
absl::Status ListView(const ListType& list, const std::string& name,
                      int64_t first_row, int64_t* bad_row, ColumnView* view) {
  if (list.values()->null_count() > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("column \"", name, "\" has nulls inside lists, from row ",
                     first_row, " on: fill them"));
  }
  view->width = CommonWidth(list, bad_row);
  view->base = BufferAt(*list.values(), 1,
                        (list.values()->offset() + list.value_offset(0)) *
                            static_cast<int64_t>(SizeBytes(view->dtype)));
  return absl::OkStatus();
}

// Reads a field of a FlatBuffers table; the verifier has been over it.
bool HasField(const void* table, int field) {
  const auto* bytes = static_cast<const unsigned char*>(table);
  int32_t to_vtable = 0;
  std::memcpy(&to_vtable, bytes, sizeof(to_vtable));
  const unsigned char* vtable = bytes - to_vtable;
  uint16_t vtable_bytes = 0;
  std::memcpy(&vtable_bytes, vtable, sizeof(vtable_bytes));
  const size_t at = 2 * sizeof(uint16_t) + field * sizeof(uint16_t);
  if (at + sizeof(uint16_t) > vtable_bytes) return false;
  uint16_t offset = 0;
  std::memcpy(&offset, vtable + at, sizeof(offset));
  return offset != 0;
}

// What Arrow cannot read is the sender's mistake, whatever Arrow calls it.
absl::Status Damaged(const arrow::Status& status) {
  return absl::InvalidArgumentError(
      absl::StrCat("an Arrow message is damaged: ", status.message()));
}

std::string SchemaText(const arrow::Schema& schema) {
  std::string text = absl::StrJoin(
      schema.fields(), ", ", [](std::string* out, const auto& field) {
        absl::StrAppend(out, field->name(), ": ", field->type()->ToString());
      });
  if (text.size() > kMaxSchemaText) {
    text.resize(kMaxSchemaText);
    text += " …";
  }
  return text;
}

std::string WantedText(const ColumnNames& names) {
  return absl::StrCat(
      "the spec's columns are {features: ", absl::StrJoin(names.features, ","),
      ", label: ", names.label, "}");
}

}  // namespace

absl::Status CheckMessage(const arrow::ipc::Message& message,
                          uint64_t body_bytes) {
  if (message.body_length() < 0 ||
      static_cast<uint64_t>(message.body_length()) != body_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("an Arrow message promises a body of ",
                     message.body_length(), " bytes and has ", body_bytes));
  }
  if (body_bytes % kBodyAlignment != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body of an Arrow message has ", body_bytes,
                     " bytes, which is no multiple of ", kBodyAlignment));
  }
  return absl::OkStatus();
}

absl::StatusOr<RecordSchema::Column> RecordSchema::Match(
    const arrow::Schema& schema, const std::string& name, bool is_label) {
  Column column;
  column.name = name;
  const auto indices = schema.GetAllFieldIndices(name);
  if (indices.size() != 1) {
    const std::string nearest = NearestName(name, schema.field_names());
    return absl::InvalidArgumentError(
        absl::StrCat(indices.empty() ? "there is no column \""
                                     : "there are several columns \"",
                     name, "\"",
                     indices.empty() && !nearest.empty()
                         ? absl::StrCat(" (did you mean \"", nearest, "\"?)")
                         : ""));
  }
  column.index = indices[0];
  const arrow::DataType& declared = *schema.field(column.index)->type();
  const arrow::DataType& type = Storage(declared);
  const auto number = NumberType(type);
  const auto row = FeatureType(type);
  if (is_label && number && IsInteger(*number)) {
    column.dtype = *number;
    column.shape = {1};
    return column;
  }
  if (is_label || !row) {
    return absl::InvalidArgumentError(
        absl::StrCat("column \"", name, "\" has the type ", declared.ToString(),
                     ", which cannot be ", is_label ? "the label" : "features",
                     ": ", CastFor(type, is_label)));
  }
  column.dtype = row->dtype;
  column.shape = row->shape;
  if (!column.shape.empty() && Product(column.shape) < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("column \"", name,
                     "\" has no numbers in a row: ", declared.ToString()));
  }
  return column;
}

absl::StatusOr<RecordSchema> RecordSchema::Make(
    std::shared_ptr<arrow::Buffer> schema_metadata, const ColumnNames& names) {
  auto message = arrow::ipc::Message::Open(std::move(schema_metadata), nullptr);
  if (!message.ok()) return Damaged(message.status());
  if ((*message)->type() != arrow::ipc::MessageType::SCHEMA) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the first message is a ",
        arrow::ipc::FormatMessageType((*message)->type()), " and no schema"));
  }
  arrow::ipc::DictionaryMemo dictionaries;
  auto schema = arrow::ipc::ReadSchema(**message, &dictionaries);
  if (!schema.ok()) return Damaged(schema.status());
  RecordSchema made;
  made.schema_ = *schema;
  if (!made.schema_->is_native_endian()) {
    return absl::InvalidArgumentError(
        "the schema is big endian; send little endian data");
  }
  for (const auto& field : made.schema_->fields()) {
    if (field->type()->id() == arrow::Type::DICTIONARY) {
      return absl::InvalidArgumentError(absl::StrCat(
          "column \"", field->name(),
          "\" is dictionary-encoded: ", CastFor(*field->type(), false)));
    }
  }
  const auto fail = [&](const absl::Status& status) {
    return absl::InvalidArgumentError(absl::StrCat(
        std::string(status.message()), "; ", WantedText(names),
        ", and the schema sent is {", SchemaText(*made.schema_), "}"));
  };
  for (const std::string& name : names.features) {
    auto column = Match(*made.schema_, name, /*is_label=*/false);
    if (!column.ok()) return fail(column.status());
    made.features_.push_back(*std::move(column));
  }
  if (!names.label.empty()) {
    auto label = Match(*made.schema_, names.label, /*is_label=*/true);
    if (!label.ok()) return fail(label.status());
    made.label_ = *std::move(label);
  }
  return made;
}

absl::StatusOr<ColumnView> RecordSchema::View(const Column& column,
                                              const arrow::Array& array,
                                              int64_t first_row) {
  ColumnView view;
  view.dtype = column.dtype;
  view.width = column.shape.empty() ? 0 : Product(column.shape);
  if (array.length() == 0) return view;
  if (array.null_count() > 0) return NullIn(column.name, array, first_row);
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
                                   column.name, first_row, &bad_row, &view));
      break;
    case arrow::Type::LARGE_LIST:
      TFD_RETURN_IF_ERROR(
          ListView(static_cast<const arrow::LargeListArray&>(inner),
                   column.name, first_row, &bad_row, &view));
      break;
    case arrow::Type::FIXED_SIZE_BINARY:
      view.base = BufferAt(inner, 1, start * view.width);
      break;
    default:
      if (inner.null_count() > 0) {
        return NullIn(column.name, inner, first_row);
      }
      view.base = BufferAt(
          inner, 1, start * static_cast<int64_t>(SizeBytes(column.dtype)));
  }
  if (view.width < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "column \"", column.name, "\": row ", first_row + bad_row,
        " has another number of values than the rows before it: all records "
        "must be of one size"));
  }
  if (view.width == 0 || view.base == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "column \"", column.name, "\": row ", first_row, " has no values"));
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

absl::StatusOr<RecordRows> RecordSchema::Decode(
    std::shared_ptr<arrow::Buffer> metadata,
    std::shared_ptr<arrow::Buffer> body, int64_t first_row, int64_t classes,
    RowWidths* widths) const {
  const auto body_bytes = static_cast<uint64_t>(body->size());
  auto message =
      arrow::ipc::Message::Open(std::move(metadata), std::move(body));
  if (!message.ok()) return Damaged(message.status());
  TFD_RETURN_IF_ERROR(CheckMessage(**message, body_bytes));
  if ((*message)->type() != arrow::ipc::MessageType::RECORD_BATCH) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected a record batch and got a ",
        arrow::ipc::FormatMessageType((*message)->type()), " message"));
  }
  if (HasField((*message)->header(), kCompressionField)) {
    return absl::InvalidArgumentError(
        "the record batch is compressed, and rows are kept as they are sent, "
        "to "
        "be mapped: send them uncompressed (in pyarrow, "
        "IpcWriteOptions(compression=None))");
  }
  auto options = arrow::ipc::IpcReadOptions::Defaults();
  options.use_threads = false;
  for (const Column& column : features_) {
    options.included_fields.push_back(column.index);
  }
  if (!label_.name.empty()) options.included_fields.push_back(label_.index);
  auto batch =
      arrow::ipc::ReadRecordBatch(**message, schema_, nullptr, options);
  if (!batch.ok()) return Damaged(batch.status());
  // Arrays that lie are found here; what it leaves (the offsets between the
  // first and the last) View looks at.
  const arrow::Status valid = (*batch)->Validate();
  if (!valid.ok()) return Damaged(valid);
  RecordRows rows;
  rows.owner = *batch;
  rows.rows = (*batch)->num_rows();
  RowWidths seen = widths->empty() ? RowWidths(features_.size()) : *widths;
  for (size_t i = 0; i < features_.size(); ++i) {
    const auto array = (*batch)->GetColumnByName(features_[i].name);
    TFD_ASSIGN_OR_RETURN(const ColumnView view,
                         View(features_[i], *array, first_row));
    if (rows.rows > 0) {
      TFD_RETURN_IF_ERROR(
          CheckWidth(features_[i], view.width, first_row, &seen[i]));
    }
    rows.features.push_back(view);
  }
  if (label_.name.empty()) {
    if (rows.rows > 0) *widths = seen;
    return rows;
  }
  const auto labels = (*batch)->GetColumnByName(label_.name);
  TFD_ASSIGN_OR_RETURN(rows.label, View(label_, *labels, first_row));
  for (int64_t row = 0; row < rows.rows; ++row) {
    const int64_t label = LabelAt(rows.label, row);
    if (label >= 0 && (classes == 0 || label < classes)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "column \"", label_.name, "\": the label in row ", first_row + row,
        " is ", label,
        classes == 0
            ? std::string("; labels are the numbers of classes, from 0")
            : absl::StrCat("; the model has ", classes,
                           " classes, so labels are 0 to ", classes - 1)));
  }
  if (rows.rows > 0) *widths = seen;
  return rows;
}

std::vector<int64_t> RecordSchema::Shape(const RowWidths& widths) const {
  if (features_.size() == 1 && !features_[0].shape.empty()) {
    return features_[0].shape;
  }
  int64_t elements = 0;
  for (const int64_t width : widths) elements += width;
  return {elements};
}

Dtype RecordSchema::dtype() const {
  const bool same = std::all_of(
      features_.begin(), features_.end(),
      [this](const Column& c) { return c.dtype == features_[0].dtype; });
  return same ? features_[0].dtype : Dtype::kFloat64;
}

std::string RecordSchema::ToString() const { return SchemaText(*schema_); }

bool RecordSchema::Equals(const RecordSchema& other) const {
  return schema_->Equals(*other.schema_, /*check_metadata=*/false);
}

absl::Status RecordSchema::CheckSameRecords(const RecordSchema& other) const {
  for (size_t i = 0; i < features_.size(); ++i) {
    if (features_[i].dtype == other.features_[i].dtype &&
        features_[i].shape == other.features_[i].shape) {
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("column \"", features_[i].name,
                     "\" is not of the type it has in the "
                     "dataset's other partitions: {",
                     ToString(), "} against {", other.ToString(), "}"));
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
