#include "data/example_columns.h"

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/extension_type.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "data/arrow_status.h"

namespace tfd::data {
namespace {

using Kind = v1::Feature::KindCase;

const char* KindText(Kind kind) {
  switch (kind) {
    case v1::Feature::kBytesList:
      return "bytes";
    case v1::Feature::kFloatList:
      return "floats";
    case v1::Feature::kInt64List:
      return "integers";
    default:
      return "nothing";
  }
}

int64_t ValueCount(const v1::Feature& feature) {
  switch (feature.kind_case()) {
    case v1::Feature::kBytesList:
      return feature.bytes_list().value_size();
    case v1::Feature::kFloatList:
      return feature.float_list().value_size();
    case v1::Feature::kInt64List:
      return feature.int64_list().value_size();
    default:
      return 0;
  }
}

// The type of one value.
std::shared_ptr<arrow::DataType> ValueType(Kind kind) {
  if (kind == v1::Feature::kBytesList) return arrow::binary();
  return kind == v1::Feature::kFloatList ? arrow::float32() : arrow::int64();
}

Kind KindOf(const arrow::DataType& value) {
  if (value.id() == arrow::Type::BINARY) return v1::Feature::kBytesList;
  return value.id() == arrow::Type::FLOAT ? v1::Feature::kFloatList
                                          : v1::Feature::kInt64List;
}

arrow::Status AppendValues(const v1::Feature& feature,
                           arrow::ArrayBuilder* values) {
  switch (feature.kind_case()) {
    case v1::Feature::kBytesList:
      for (const std::string& bytes : feature.bytes_list().value()) {
        ARROW_RETURN_NOT_OK(
            static_cast<arrow::BinaryBuilder*>(values)->Append(bytes));
      }
      return arrow::Status::OK();
    case v1::Feature::kFloatList:
      return static_cast<arrow::FloatBuilder*>(values)->AppendValues(
          feature.float_list().value().data(),
          feature.float_list().value_size());
    default:
      return static_cast<arrow::Int64Builder*>(values)->AppendValues(
          feature.int64_list().value().data(),
          feature.int64_list().value_size());
  }
}

// The column's type is a value's, or a list of them.
absl::Status AppendFeature(const std::string& name, const v1::Feature& feature,
                           arrow::ArrayBuilder* builder) {
  const std::shared_ptr<arrow::DataType> type = builder->type();
  const auto* list = dynamic_cast<const arrow::BaseListType*>(type.get());
  const Kind kind = KindOf(list != nullptr ? *list->value_type() : *type);
  if (feature.kind_case() != kind) {
    return absl::InvalidArgumentError(absl::StrCat(
        "feature \"", name, "\" has ", KindText(feature.kind_case()),
        ", and in the records before it ", KindText(kind)));
  }
  const int64_t count = ValueCount(feature);
  int64_t wanted = count;
  if (list == nullptr) wanted = 1;
  if (type->id() == arrow::Type::FIXED_SIZE_LIST) {
    wanted = static_cast<const arrow::FixedSizeListType&>(*type).list_size();
  }
  if (count != wanted) {
    return absl::InvalidArgumentError(
        absl::StrCat("feature \"", name, "\" has ", count,
                     " values, and in the records before it ", wanted,
                     ": all records must be of one size"));
  }
  arrow::ArrayBuilder* values = builder;
  if (type->id() == arrow::Type::FIXED_SIZE_LIST) {
    auto* fixed = static_cast<arrow::FixedSizeListBuilder*>(builder);
    TFD_RETURN_IF_ARROW_ERROR(fixed->Append());
    values = fixed->value_builder();
  } else if (list != nullptr) {
    auto* lists = static_cast<arrow::ListBuilder*>(builder);
    TFD_RETURN_IF_ARROW_ERROR(lists->Append());
    values = lists->value_builder();
  }
  return FromArrow(AppendValues(feature, values));
}

template <typename ArrayType>
void AddIntegers(const arrow::Array& array, int64_t begin, int64_t end,
                 v1::Feature* feature) {
  const auto& numbers = static_cast<const ArrayType&>(array);
  auto* list = feature->mutable_int64_list();
  for (int64_t i = begin; i < end; ++i) {
    list->add_value(static_cast<int64_t>(numbers.Value(i)));
  }
}

template <typename ArrayType>
void AddFloats(const arrow::Array& array, int64_t begin, int64_t end,
               v1::Feature* feature) {
  const auto& numbers = static_cast<const ArrayType&>(array);
  auto* list = feature->mutable_float_list();
  for (int64_t i = begin; i < end; ++i) {
    list->add_value(static_cast<float>(numbers.Value(i)));
  }
}

template <typename ArrayType>
void AddBytes(const arrow::Array& array, int64_t begin, int64_t end,
              v1::Feature* feature) {
  const auto& bytes = static_cast<const ArrayType&>(array);
  auto* list = feature->mutable_bytes_list();
  for (int64_t i = begin; i < end; ++i) {
    const auto view = bytes.GetView(i);
    list->add_value(view.data(), view.size());
  }
}

// Elements [begin, end) of an array; false where examples cannot hold its type.
// `feature` may be null: then it is only looked whether they can.
bool AddValues(const arrow::Array* array, const arrow::DataType& type,
               int64_t begin, int64_t end, v1::Feature* feature) {
  const auto take = [&](auto add) {
    if (feature != nullptr) add(*array, begin, end, feature);
    return true;
  };
  switch (type.id()) {
    case arrow::Type::BOOL:
      return take(AddIntegers<arrow::BooleanArray>);
    case arrow::Type::UINT8:
      return take(AddIntegers<arrow::UInt8Array>);
    case arrow::Type::INT8:
      return take(AddIntegers<arrow::Int8Array>);
    case arrow::Type::UINT16:
      return take(AddIntegers<arrow::UInt16Array>);
    case arrow::Type::INT16:
      return take(AddIntegers<arrow::Int16Array>);
    case arrow::Type::UINT32:
      return take(AddIntegers<arrow::UInt32Array>);
    case arrow::Type::INT32:
      return take(AddIntegers<arrow::Int32Array>);
    case arrow::Type::UINT64:
      return take(AddIntegers<arrow::UInt64Array>);
    case arrow::Type::INT64:
      return take(AddIntegers<arrow::Int64Array>);
    case arrow::Type::FLOAT:
      return take(AddFloats<arrow::FloatArray>);
    case arrow::Type::DOUBLE:
      return take(AddFloats<arrow::DoubleArray>);
    case arrow::Type::BINARY:
    case arrow::Type::STRING:
      return take(AddBytes<arrow::BinaryArray>);
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::LARGE_STRING:
      return take(AddBytes<arrow::LargeBinaryArray>);
    case arrow::Type::FIXED_SIZE_BINARY:
      return take(AddBytes<arrow::FixedSizeBinaryArray>);
    default:
      return false;
  }
}

template <typename ListType>
bool AddList(const arrow::Array* array, const arrow::DataType& type,
             int64_t row, v1::Feature* feature);

bool AddRow(const arrow::Array* array, const arrow::DataType& type, int64_t row,
            v1::Feature* feature) {
  switch (type.id()) {
    case arrow::Type::EXTENSION:
      return AddRow(
          array == nullptr ? nullptr
                           : static_cast<const arrow::ExtensionArray&>(*array)
                                 .storage()
                                 .get(),
          *static_cast<const arrow::ExtensionType&>(type).storage_type(), row,
          feature);
    case arrow::Type::LIST:
      return AddList<arrow::ListArray>(array, type, row, feature);
    case arrow::Type::LARGE_LIST:
      return AddList<arrow::LargeListArray>(array, type, row, feature);
    case arrow::Type::FIXED_SIZE_LIST:
      return AddList<arrow::FixedSizeListArray>(array, type, row, feature);
    default:
      return AddValues(array, type, row, row + 1, feature);
  }
}

// Lists of lists of fixed size (images) become one row of numbers.
template <typename ListType>
bool AddList(const arrow::Array* array, const arrow::DataType& type,
             int64_t row, v1::Feature* feature) {
  const arrow::DataType* value =
      static_cast<const arrow::BaseListType&>(type).value_type().get();
  if (array == nullptr) {
    while (value->id() == arrow::Type::FIXED_SIZE_LIST) {
      value =
          static_cast<const arrow::BaseListType&>(*value).value_type().get();
    }
    return AddValues(nullptr, *value, 0, 0, nullptr);
  }
  const auto& list = static_cast<const ListType&>(*array);
  int64_t begin = list.value_offset(row);
  int64_t count = list.value_length(row);
  const arrow::Array* values = list.values().get();
  while (value->id() == arrow::Type::FIXED_SIZE_LIST) {
    const auto& inner = static_cast<const arrow::FixedSizeListArray&>(*values);
    begin = inner.value_offset(begin);
    count *= inner.list_type()->list_size();
    values = inner.values().get();
    value = inner.value_type().get();
  }
  return AddValues(values, *value, begin, begin + count, feature);
}

}  // namespace

absl::Status ExampleFacts::Add(const v1::Example& example) {
  for (const auto& [name, feature] : example.features().feature()) {
    const Kind kind = feature.kind_case();
    if (kind == v1::Feature::KIND_NOT_SET) continue;
    const int64_t count = ValueCount(feature);
    const auto [found, is_new] = features_.insert({name, {kind, count, count}});
    if (is_new) continue;
    Facts& facts = found->second;
    if (facts.kind != kind) {
      return absl::InvalidArgumentError(absl::StrCat(
          "feature \"", name, "\" has ", KindText(kind),
          ", and in the records before it ", KindText(facts.kind)));
    }
    facts.fewest = std::min(facts.fewest, count);
    facts.most = std::max(facts.most, count);
  }
  return absl::OkStatus();
}

std::shared_ptr<arrow::Schema> ExampleFacts::ToSchema() const {
  arrow::FieldVector fields;
  for (const auto& [name, facts] : features_) {
    if (facts.most == 0) continue;
    std::shared_ptr<arrow::DataType> type = ValueType(facts.kind);
    if (facts.fewest != facts.most ||
        (facts.kind == v1::Feature::kBytesList && facts.most > 1)) {
      type = arrow::list(type);
    } else if (facts.most > 1) {
      type = arrow::fixed_size_list(type, static_cast<int32_t>(facts.most));
    }
    fields.push_back(arrow::field(name, std::move(type)));
  }
  return arrow::schema(std::move(fields));
}

ExampleColumns::ExampleColumns(const std::shared_ptr<arrow::Schema>& schema,
                               const std::vector<int>& selected) {
  arrow::FieldVector fields;
  for (const int column : selected) {
    fields.push_back(schema->field(column));
    // Of these types there is always one.
    builders_.push_back(arrow::MakeBuilder(fields.back()->type()).ValueOrDie());
  }
  schema_ = arrow::schema(std::move(fields));
}

ExampleColumns::~ExampleColumns() = default;

absl::Status ExampleColumns::Append(const v1::Example& example) {
  const auto& features = example.features().feature();
  for (size_t i = 0; i < builders_.size(); ++i) {
    const std::string& name = schema_->field(static_cast<int>(i))->name();
    const auto found = features.find(name);
    if (found == features.end() ||
        found->second.kind_case() == v1::Feature::KIND_NOT_SET) {
      TFD_RETURN_IF_ARROW_ERROR(builders_[i]->AppendNull());
      continue;
    }
    TFD_RETURN_IF_ERROR(AppendFeature(name, found->second, builders_[i].get()));
  }
  ++rows_;
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> ExampleColumns::Take() {
  arrow::ArrayVector arrays;
  for (const auto& builder : builders_) {
    auto array = builder->Finish();
    if (!array.ok()) return FromArrow(array);
    arrays.push_back(*std::move(array));
  }
  const int64_t rows = std::exchange(rows_, 0);
  return arrow::RecordBatch::Make(schema_, rows, std::move(arrays));
}

absl::Status CheckExampleColumns(const arrow::Schema& schema) {
  for (const auto& field : schema.fields()) {
    if (AddRow(nullptr, *field->type(), 0, nullptr)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "column \"", field->name(), "\" has the type ",
        field->type()->ToString(),
        ", and a tf.Example holds numbers, bytes, texts and lists of them"));
  }
  return absl::OkStatus();
}

absl::Status ToExample(const arrow::RecordBatch& batch, int64_t row,
                       v1::Example* example) {
  auto* features = example->mutable_features()->mutable_feature();
  for (int i = 0; i < batch.num_columns(); ++i) {
    const arrow::Array& column = *batch.column(i);
    if (column.IsNull(row)) continue;
    if (!AddRow(&column, *column.type(), row,
                &(*features)[batch.column_name(i)])) {
      return CheckExampleColumns(*batch.schema());
    }
  }
  return absl::OkStatus();
}

}  // namespace tfd::data
