#include "common/spec/scalar.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/nearest_name.h"
#include "common/spec/field.h"
#include "common/spec/names.h"
#include "common/status.h"
#include "common/units.h"

namespace tfd::spec {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Longer texts are cut in messages.
constexpr size_t kLongestShown = 80;

absl::Status Wrong(absl::string_view text, const FieldDescriptor* field,
                   absl::string_view hint = "") {
  return absl::InvalidArgumentError(
      absl::StrCat(QuotedText(text), " is not ", WantedText(field), hint));
}

// The limits of the field's type, where its rules name none.
template <typename T>
absl::Status OutOfRange(absl::string_view text, const FieldDescriptor* field) {
  std::string bounds = BoundsText(field);
  if (bounds.empty()) {
    bounds = absl::StrCat("at least ", std::numeric_limits<T>::min(),
                          " and at most ", std::numeric_limits<T>::max());
  }
  return absl::InvalidArgumentError(
      absl::StrCat(text, " is out of bounds: it must be ", bounds));
}

// "60,000" and "60_000" are how people write numbers, and YAML does not.
std::string SeparatorHint(absl::string_view text) {
  const std::string without = absl::StrReplaceAll(text, {{",", ""}, {"_", ""}});
  double number;
  return without != text && absl::SimpleAtod(without, &number)
             ? absl::StrCat("; write ", without)
             : "";
}

template <typename T>
absl::StatusOr<T> ParseQuantity(absl::string_view text,
                                const FieldDescriptor* field) {
  if (Rules(field).quantity() == v1::BYTES) {
    absl::StatusOr<uint64_t> bytes = ParseBytes(text);
    if (!bytes.ok()) return Wrong(text, field);
    if (*bytes > static_cast<uint64_t>(std::numeric_limits<T>::max())) {
      return OutOfRange<T>(text, field);
    }
    return static_cast<T>(*bytes);
  }
  absl::StatusOr<absl::Duration> duration = ParseDuration(text);
  if (!duration.ok()) return Wrong(text, field);
  const int64_t milliseconds = absl::ToInt64Milliseconds(*duration);
  if (milliseconds < 0 && std::is_unsigned_v<T>) return Wrong(text, field);
  return static_cast<T>(milliseconds);
}

template <typename T>
absl::StatusOr<T> ParseWhole(absl::string_view text,
                             const FieldDescriptor* field) {
  if (Rules(field).quantity() != v1::NUMBER) {
    return ParseQuantity<T>(text, field);
  }
  T whole;
  if (absl::SimpleAtoi(text, &whole)) return whole;
  // 1e5 is a whole number as well. Beyond 2^53 doubles are not exact.
  double number;
  if (!absl::SimpleAtod(text, &number) || std::isnan(number) ||
      number != std::trunc(number)) {
    return Wrong(text, field, SeparatorHint(text));
  }
  constexpr double kExact = 9007199254740992.0;
  if (std::abs(number) > kExact ||
      number < static_cast<double>(std::numeric_limits<T>::min()) ||
      number > static_cast<double>(std::numeric_limits<T>::max())) {
    return OutOfRange<T>(text, field);
  }
  return static_cast<T>(number);
}

absl::StatusOr<double> ParseReal(absl::string_view text,
                                 const FieldDescriptor* field) {
  double number;
  if (!absl::SimpleAtod(text, &number)) {
    return Wrong(text, field, SeparatorHint(text));
  }
  if (!std::isfinite(number)) {
    return absl::InvalidArgumentError(
        absl::StrCat(text, " is not a finite number"));
  }
  return number;
}

absl::StatusOr<bool> ParseBool(absl::string_view text,
                               const FieldDescriptor* field) {
  if (absl::EqualsIgnoreCase(text, "true")) return true;
  if (absl::EqualsIgnoreCase(text, "false")) return false;
  return Wrong(text, field);
}

absl::StatusOr<const EnumValueDescriptor*> ParseEnum(
    absl::string_view text, const FieldDescriptor* field) {
  const EnumDescriptor* type = field->enum_type();
  std::vector<std::string> names;
  for (int i = 0; i < type->value_count(); ++i) {
    const std::string name = ValueName(type->value(i));
    if (name.empty()) continue;
    if (name == text) return type->value(i);
    names.push_back(name);
  }
  const std::string nearest = NearestName(text, names);
  return Wrong(
      text, field,
      nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?"));
}

absl::StatusOr<std::string> ParseText(const std::string& text,
                                      const FieldDescriptor* field,
                                      const Variables& variables) {
  if (!IsUtf8(text)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", absl::CHexEscape(text), "\" is not UTF-8 text"));
  }
  if (!Rules(field).spec_path() && !Rules(field).work_path()) return text;
  return ExpandHome(text, variables);
}

// Writes a value that could be read, by the function that fits the slot.
template <typename T, typename U>
absl::Status Write(
    absl::StatusOr<U> value, Message* message, const FieldDescriptor* field,
    Slot slot,
    void (Reflection::*set)(Message*, const FieldDescriptor*, T) const,
    void (Reflection::*set_at)(Message*, const FieldDescriptor*, int, T) const,
    void (Reflection::*add)(Message*, const FieldDescriptor*, T) const) {
  if (!value.ok()) return value.status();
  const Reflection* reflection = message->GetReflection();
  if (slot.index == Slot::kSingular) {
    (reflection->*set)(message, field, *std::move(value));
  } else if (slot.index == Slot::kAppend) {
    (reflection->*add)(message, field, *std::move(value));
  } else {
    (reflection->*set_at)(message, field, slot.index, *std::move(value));
  }
  return absl::OkStatus();
}

absl::Status WriteText(const std::string& text, const Variables& variables,
                       const FieldDescriptor* field, Slot slot,
                       Message* message) {
  using R = Reflection;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return Write(ParseWhole<int32_t>(text, field), message, field, slot,
                   &R::SetInt32, &R::SetRepeatedInt32, &R::AddInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return Write(ParseWhole<int64_t>(text, field), message, field, slot,
                   &R::SetInt64, &R::SetRepeatedInt64, &R::AddInt64);
    case FieldDescriptor::CPPTYPE_UINT32:
      return Write(ParseWhole<uint32_t>(text, field), message, field, slot,
                   &R::SetUInt32, &R::SetRepeatedUInt32, &R::AddUInt32);
    case FieldDescriptor::CPPTYPE_UINT64:
      return Write(ParseWhole<uint64_t>(text, field), message, field, slot,
                   &R::SetUInt64, &R::SetRepeatedUInt64, &R::AddUInt64);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return Write(ParseReal(text, field), message, field, slot, &R::SetDouble,
                   &R::SetRepeatedDouble, &R::AddDouble);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return Write(ParseReal(text, field), message, field, slot, &R::SetFloat,
                   &R::SetRepeatedFloat, &R::AddFloat);
    case FieldDescriptor::CPPTYPE_BOOL:
      return Write(ParseBool(text, field), message, field, slot, &R::SetBool,
                   &R::SetRepeatedBool, &R::AddBool);
    case FieldDescriptor::CPPTYPE_ENUM:
      return Write(ParseEnum(text, field), message, field, slot, &R::SetEnum,
                   &R::SetRepeatedEnum, &R::AddEnum);
    case FieldDescriptor::CPPTYPE_STRING:
      return Write(ParseText(text, field, variables), message, field, slot,
                   &R::SetString, &R::SetRepeatedString, &R::AddString);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return absl::InternalError(
      absl::StrCat(field->full_name(), " is a message and no scalar"));
}

}  // namespace

std::string QuotedText(absl::string_view text) {
  if (text.size() > kLongestShown) {
    return absl::StrCat("\"", text.substr(0, kLongestShown), "…\"");
  }
  return absl::StrCat("\"", text, "\"");
}

absl::Status AssignScalar(const YamlNode& node, const Variables& variables,
                          const FieldDescriptor* field, Slot slot,
                          Message* message) {
  if (node.kind == YamlNode::Kind::kNull) {
    return absl::InvalidArgumentError(
        absl::StrCat("is empty; write ", WantedText(field),
                     field->cpp_type() == FieldDescriptor::CPPTYPE_STRING
                         ? " (null and ~ in quotes)"
                         : "",
                     ", or leave the line out"));
  }
  if (node.kind != YamlNode::Kind::kScalar) {
    return absl::InvalidArgumentError(absl::StrCat(
        "takes ", WantedText(field), " and not ", GivenText(node)));
  }
  TFD_ASSIGN_OR_RETURN(const std::string text,
                       ExpandVariables(node.scalar, variables));
  return WriteText(text, variables, field, slot, message);
}

std::string WantedText(const FieldDescriptor* field) {
  if (field->is_map()) return "names with values, {NAME: VALUE}";
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_ENUM:
      return absl::StrCat("one of ", ValueNames(field->enum_type()));
    case FieldDescriptor::CPPTYPE_STRING:
      return "text";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      return "a number";
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      const FieldDescriptor* scalar = ScalarField(field->message_type());
      return absl::StrCat(
          scalar == nullptr ? "" : absl::StrCat(WantedText(scalar), ", or "),
          "fields (", absl::StrJoin(FieldNames(field->message_type()), ", "),
          ")");
    }
    default:
      break;
  }
  switch (Rules(field).quantity()) {
    case v1::BYTES:
      return "a size such as 512MiB";
    case v1::DURATION_MS:
      return "a duration such as 10s or 5m";
    default:
      return "a whole number";
  }
}

std::string GivenText(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return QuotedText(node.scalar);
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "fields";
  }
  return "";
}

}  // namespace tfd::spec
