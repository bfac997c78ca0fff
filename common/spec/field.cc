#include "common/spec/field.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace tfd::spec {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Whole numbers up to here are written without an exponent.
constexpr double kLargestPlainWhole = 1e15;

// The element `index` of a repeated field, or the one value of a singular one.
template <typename T>
T Get(const Message& message, const FieldDescriptor* field, int index,
      T (Reflection::*get)(const Message&, const FieldDescriptor*) const,
      T (Reflection::*get_repeated)(const Message&, const FieldDescriptor*, int)
          const) {
  const Reflection* reflection = message.GetReflection();
  return index < 0 ? (reflection->*get)(message, field)
                   : (reflection->*get_repeated)(message, field, index);
}

std::string FormatMessage(const Message& message) {
  std::vector<std::string> parts;
  const Descriptor* type = message.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (!IsSet(message, field)) continue;
    parts.push_back(
        absl::StrCat(field->name(), ": ", FormatValue(message, field)));
  }
  return absl::StrCat("{", absl::StrJoin(parts, ", "), "}");
}

// In the largest unit that shows the number exactly, as one writes it in YAML.
std::string WithUnit(double number,
                     const std::vector<std::pair<int64_t, std::string>>& units,
                     absl::string_view smallest) {
  for (const auto& [size, unit] : units) {
    if (number != 0 && std::fmod(number, static_cast<double>(size)) == 0) {
      return absl::StrCat(FormatDouble(number / static_cast<double>(size)),
                          unit);
    }
  }
  return absl::StrCat(FormatDouble(number), smallest);
}

std::string FormatList(const Message& message, const FieldDescriptor* field) {
  std::vector<std::string> parts;
  const int size = message.GetReflection()->FieldSize(message, field);
  parts.reserve(size);
  for (int i = 0; i < size; ++i) {
    parts.push_back(FormatValue(message, field, i));
  }
  return absl::StrCat("[", absl::StrJoin(parts, ", "), "]");
}

}  // namespace

bool IsSet(const Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  return field->is_repeated() ? reflection->FieldSize(message, field) > 0
                              : reflection->HasField(message, field);
}

const v1::FieldRules& Rules(const FieldDescriptor* field) {
  return field->options().GetExtension(v1::rules);
}

const FieldDescriptor* ScalarField(const Descriptor* message) {
  return message->FindFieldByName(
      message->options().GetExtension(v1::message_rules).scalar_field());
}

std::string ValueName(const EnumValueDescriptor* value) {
  if (value->number() == 0 && absl::EndsWith(value->name(), "_UNSPECIFIED")) {
    return "";
  }
  return absl::AsciiStrToLower(value->name());
}

std::string ValueNames(const EnumDescriptor* type) {
  std::vector<std::string> now;
  std::vector<std::string> later;
  for (int i = 0; i < type->value_count(); ++i) {
    const EnumValueDescriptor* value = type->value(i);
    const std::string name = ValueName(value);
    if (name.empty()) continue;
    const bool planned =
        !value->options().GetExtension(v1::value_rules).planned().empty();
    (planned ? later : now).push_back(name);
  }
  std::string text = absl::StrJoin(now, ", ");
  if (!later.empty()) {
    absl::StrAppend(&text, " (later: ", absl::StrJoin(later, ", "), ")");
  }
  return text;
}

std::string FormatDouble(double number) {
  if (std::abs(number) < kLargestPlainWhole && number == std::trunc(number)) {
    return absl::StrCat(static_cast<int64_t>(number));
  }
  std::array<char, 32> buffer;
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), number);
  return std::string(buffer.data(), end);
}

std::string FormatNumber(const FieldDescriptor* field, double number) {
  switch (Rules(field).quantity()) {
    case v1::BYTES:
      return WithUnit(
          number, {{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}}, "");
    case v1::DURATION_MS:
      return WithUnit(number, {{3600000, "h"}, {60000, "m"}, {1000, "s"}},
                      "ms");
    default:
      return FormatDouble(number);
  }
}

std::string BoundsText(const FieldDescriptor* field) {
  const v1::FieldRules& rules = Rules(field);
  std::vector<std::string> parts;
  if (rules.has_min()) {
    parts.push_back(
        absl::StrCat(rules.exclusive_min() ? "more than " : "at least ",
                     FormatNumber(field, rules.min())));
  }
  if (rules.has_max()) {
    parts.push_back(absl::StrCat("at most ", FormatNumber(field, rules.max())));
  }
  return absl::StrJoin(parts, " and ");
}

std::string FormatValue(const Message& message, const FieldDescriptor* field,
                        int index) {
  if (field->is_repeated() && index < 0) return FormatList(message, field);
  const bool plain = Rules(field).quantity() == v1::NUMBER;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(Get(message, field, index, &Reflection::GetInt32,
                              &Reflection::GetRepeatedInt32));
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(Get(message, field, index, &Reflection::GetUInt32,
                              &Reflection::GetRepeatedUInt32));
    case FieldDescriptor::CPPTYPE_INT64: {
      const int64_t value = Get(message, field, index, &Reflection::GetInt64,
                                &Reflection::GetRepeatedInt64);
      return plain ? absl::StrCat(value)
                   : FormatNumber(field, static_cast<double>(value));
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      const uint64_t value = Get(message, field, index, &Reflection::GetUInt64,
                                 &Reflection::GetRepeatedUInt64);
      return plain ? absl::StrCat(value)
                   : FormatNumber(field, static_cast<double>(value));
    }
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return FormatDouble(Get(message, field, index, &Reflection::GetDouble,
                              &Reflection::GetRepeatedDouble));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return FormatDouble(Get(message, field, index, &Reflection::GetFloat,
                              &Reflection::GetRepeatedFloat));
    case FieldDescriptor::CPPTYPE_BOOL:
      return Get(message, field, index, &Reflection::GetBool,
                 &Reflection::GetRepeatedBool)
                 ? "true"
                 : "false";
    case FieldDescriptor::CPPTYPE_ENUM: {
      const std::string name =
          ValueName(Get(message, field, index, &Reflection::GetEnum,
                        &Reflection::GetRepeatedEnum));
      return name.empty() ? "absent" : name;
    }
    case FieldDescriptor::CPPTYPE_STRING:
      return absl::StrCat("\"",
                          absl::Utf8SafeCEscape(
                              Get(message, field, index, &Reflection::GetString,
                                  &Reflection::GetRepeatedString)),
                          "\"");
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return FormatMessage(
          index < 0 ? message.GetReflection()->GetMessage(message, field)
                    : message.GetReflection()->GetRepeatedMessage(
                          message, field, index));
  }
  return "";
}

}  // namespace tfd::spec
