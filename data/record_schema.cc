#include "data/record_schema.h"

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
#include "data/plain_columns.h"

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
  switch (type.id()) {
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
    case arrow::Type::STRING_VIEW:
      return "cast it to a number where it is one; else write the numbers of "
             "its values (in Spark, StringIndexer; in pandas, "
             "column.astype('category').cat.codes)";
    default:
      break;
  }
  if (is_label) return "cast it to int64";
  switch (type.id()) {
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
      return "write its parts as columns of numbers";
    default:
      return "write numbers, fixed-size lists or lists of numbers, or binary "
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
  return absl::StrCat("the spec's columns are {features: ",
                      NamesText(names.features), ", label: ", names.label, "}");
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
  const auto& declared = schema.field(column.index)->type();
  const auto plain = PlainType(declared, is_label);
  if (plain != declared) column.plain = plain;
  const arrow::DataType& type = Storage(*plain);
  const auto number = NumberType(type);
  const auto row = FeatureType(type);
  if (is_label && number && IsInteger(*number)) {
    column.dtype = *number;
    column.shape = {1};
    return column;
  }
  if (is_label || !row) {
    return absl::InvalidArgumentError(absl::StrCat(
        "column \"", name, "\" has the type ", declared->ToString(),
        ", which cannot be ", is_label ? "the label" : "features", ": ",
        CastFor(type, is_label)));
  }
  column.dtype = row->dtype;
  column.shape = row->shape;
  if (!column.shape.empty() && ElementsIn(column.shape) < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("column \"", name,
                     "\" has no numbers in a row: ", declared->ToString()));
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
  if (!(*schema)->is_native_endian()) {
    return absl::InvalidArgumentError(
        "the schema is big endian; send little endian data");
  }
  for (const auto& field : (*schema)->fields()) {
    if (field->type()->id() == arrow::Type::DICTIONARY) {
      return absl::InvalidArgumentError(
          absl::StrCat("column \"", field->name(),
                       "\" is encoded with a dictionary, which a pushed row "
                       "cannot be: decode "
                       "it first (in pyarrow, column.dictionary_decode())"));
    }
  }
  return OfTable(std::move(*schema), names);
}

absl::StatusOr<RecordSchema> RecordSchema::OfTable(
    std::shared_ptr<arrow::Schema> schema, const ColumnNames& names) {
  RecordSchema made;
  made.schema_ = std::move(schema);
  made.nulls_ = names.nulls;
  const auto fail = [&](const absl::Status& status) {
    return absl::InvalidArgumentError(absl::StrCat(
        std::string(status.message()), "; ", WantedText(names),
        ", and the columns there are {", SchemaText(*made.schema_), "}"));
  };
  if (!names.label.empty()) {
    auto label = Match(*made.schema_, names.label, /*is_label=*/true);
    if (!label.ok()) return fail(label.status());
    made.label_ = *std::move(label);
  }
  for (const std::string& name : names.features) {
    auto column = Match(*made.schema_, name, /*is_label=*/false);
    if (!column.ok()) return fail(column.status());
    made.features_.push_back(*std::move(column));
  }
  return made;
}

std::vector<int> RecordSchema::Columns() const {
  std::vector<int> columns;
  for (const Column& column : features_) columns.push_back(column.index);
  if (has_label()) columns.push_back(label_.index);
  return columns;
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
  options.included_fields = Columns();
  auto batch =
      arrow::ipc::ReadRecordBatch(**message, schema_, nullptr, options);
  if (!batch.ok()) return Damaged(batch.status());
  return ViewRows(*std::move(batch), {first_row, {}}, classes, widths);
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
                     "dataset's other parts: {",
                     ToString(), "} against {", other.ToString(), "}"));
  }
  return absl::OkStatus();
}

}  // namespace tfd::data
