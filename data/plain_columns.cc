#include "data/plain_columns.h"

#include <arrow/array.h>
#include <arrow/compute/cast.h>
#include <arrow/extension_type.h>
#include <arrow/type.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tfd::data {
namespace {

// The type with another one of its values.
template <typename Make>
std::shared_ptr<arrow::DataType> WithValues(
    const std::shared_ptr<arrow::DataType>& type, bool is_label, Make make) {
  const auto& value =
      static_cast<const arrow::BaseListType&>(*type).value_type();
  auto plain = PlainType(value, is_label);
  return plain == value ? type : make(std::move(plain));
}

}  // namespace

std::shared_ptr<arrow::DataType> PlainType(
    const std::shared_ptr<arrow::DataType>& type, bool is_label) {
  switch (type->id()) {
    case arrow::Type::BOOL:
      return is_label ? arrow::uint8() : arrow::float32();
    case arrow::Type::HALF_FLOAT:
      return arrow::float32();
    case arrow::Type::DICTIONARY:
      return PlainType(
          static_cast<const arrow::DictionaryType&>(*type).value_type(),
          is_label);
    case arrow::Type::EXTENSION: {
      const auto& storage =
          static_cast<const arrow::ExtensionType&>(*type).storage_type();
      auto plain = PlainType(storage, is_label);
      return plain == storage ? type : plain;
    }
    case arrow::Type::LIST:
      return WithValues(type, is_label,
                        [](auto value) { return arrow::list(value); });
    case arrow::Type::LARGE_LIST:
      return WithValues(type, is_label,
                        [](auto value) { return arrow::large_list(value); });
    case arrow::Type::FIXED_SIZE_LIST: {
      const int32_t size =
          static_cast<const arrow::FixedSizeListType&>(*type).list_size();
      return WithValues(type, is_label, [size](auto value) {
        return arrow::fixed_size_list(value, size);
      });
    }
    default:
      return type;
  }
}

absl::StatusOr<std::shared_ptr<arrow::Array>> PlainArray(
    const std::shared_ptr<arrow::Array>& array,
    const std::shared_ptr<arrow::DataType>& plain) {
  std::shared_ptr<arrow::Array> from = array;
  // What the conversion reads must be there.
  const arrow::Status valid = from->ValidateFull();
  if (!valid.ok()) return absl::InvalidArgumentError(valid.message());
  if (from->type_id() == arrow::Type::EXTENSION) {
    from = static_cast<const arrow::ExtensionArray&>(*from).storage();
  }
  if (from->type()->Equals(plain)) return from;
  auto cast = arrow::compute::Cast(*from, plain);
  if (cast.ok()) return *std::move(cast);
  return absl::InvalidArgumentError(
      absl::StrCat("cannot be turned from ", array->type()->ToString(),
                   " into ", plain->ToString(), ": ", cast.status().message()));
}

}  // namespace tfd::data
