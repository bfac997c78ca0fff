#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "common/spec/field.h"
#include "common/spec/rules.h"
#include "scripts/docs/spec_docs.h"

namespace tfd::docs {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using Json = nlohmann::ordered_json;

constexpr absl::string_view kVariable = "variable";
// ECMA 262 expressions, as JSON Schema has them.
constexpr char kVariablePattern[] = R"(\$\{[A-Za-z_][A-Za-z0-9_]*\})";
constexpr char kBytesPattern[] = R"(^[0-9]+(\.[0-9]+)? ?(B|[KMGT]i?B)?$)";
constexpr char kDurationPattern[] = R"(^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$)";

Json Reference(absl::string_view name) {
  return {{"$ref", absl::StrCat("#/$defs/", name)}};
}

// A whole number is written as one where it is, without a ".0".
Json Number(double value) {
  const auto whole = static_cast<int64_t>(value);
  return static_cast<double>(whole) == value ? Json(whole) : Json(value);
}

void AddBounds(const FieldDescriptor* field, Json* schema) {
  const v1::FieldRules& rules = spec::Rules(field);
  if (rules.has_min()) {
    (*schema)[rules.exclusive_min() ? "exclusiveMinimum" : "minimum"] =
        Number(rules.min());
  } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64 ||
             field->cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
    (*schema)["minimum"] = 0;
  }
  if (rules.has_max()) (*schema)["maximum"] = Number(rules.max());
}

// The ways to write one value of a field that is no message.
std::vector<Json> ScalarForms(const FieldDescriptor* field) {
  const v1::FieldRules& rules = spec::Rules(field);
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      if (rules.pattern().empty()) return {{{"type", "string"}}};
      return {{{"type", "string"},
               {"pattern", absl::StrCat("^(?:", rules.pattern(), ")$")}},
              Reference(kVariable)};
    case FieldDescriptor::CPPTYPE_BOOL:
      return {{{"type", "boolean"}}, Reference(kVariable)};
    case FieldDescriptor::CPPTYPE_ENUM: {
      Json names = Json::array();
      for (int i = 0; i < field->enum_type()->value_count(); ++i) {
        const EnumValueDescriptor* value = field->enum_type()->value(i);
        const std::string name = spec::ValueName(value);
        const bool planned =
            !value->options().GetExtension(v1::value_rules).planned().empty();
        if (!name.empty() && !planned) names.push_back(name);
      }
      return {{{"enum", names}}, Reference(kVariable)};
    }
    default:
      break;
  }
  const bool real = field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE ||
                    field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT;
  Json number = {{"type", real ? "number" : "integer"}};
  AddBounds(field, &number);
  std::vector<Json> forms = {number};
  if (rules.quantity() == v1::BYTES) {
    forms.push_back({{"type", "string"}, {"pattern", kBytesPattern}});
  } else if (rules.quantity() == v1::DURATION_MS) {
    forms.push_back({{"type", "string"}, {"pattern", kDurationPattern}});
  }
  forms.push_back(Reference(kVariable));
  return forms;
}

Json AnyOf(std::vector<Json> forms) {
  if (forms.size() == 1) return forms.front();
  return {{"anyOf", std::move(forms)}};
}

Json ValueSchema(const FieldDescriptor* field) {
  if (field->message_type() == nullptr) return AnyOf(ScalarForms(field));
  Json object = Reference(field->message_type()->name());
  const FieldDescriptor* scalar = spec::ScalarField(field->message_type());
  if (scalar == nullptr) return object;
  std::vector<Json> forms = ScalarForms(scalar);
  forms.push_back(std::move(object));
  return AnyOf(std::move(forms));
}

// The default as JSON; text where it has a unit or is a name.
Json DefaultValue(const FieldDescriptor* field) {
  const std::string& text = spec::Rules(field).default_value();
  const Json value = Json::parse(text, nullptr, false);
  return value.is_discarded() ? Json(text) : value;
}

Json FieldSchema(const FieldDescriptor* field) {
  const v1::FieldRules& rules = spec::Rules(field);
  Json schema = {{"description", CommentOf(field)}};
  if (!rules.planned().empty()) {
    schema["description"] = absl::StrCat(
        CommentOf(field), " Not there yet: ", rules.planned(), ".");
    if (rules.default_value().empty()) {
      schema["not"] = Json::object();
    } else {
      schema["const"] = DefaultValue(field);
    }
    return schema;
  }
  if (!rules.default_value().empty()) schema["default"] = DefaultValue(field);
  if (field->is_map()) {
    schema["type"] = "object";
    schema["additionalProperties"] =
        ValueSchema(field->message_type()->map_value());
  } else if (field->is_repeated()) {
    schema["type"] = "array";
    schema["items"] = ValueSchema(field);
  } else {
    schema.update(ValueSchema(field));
  }
  return schema;
}

// rules.only_for: what is required, and what must not be there, for each value
// of the field that decides.
// Of the fields that another one replaces (rules.unless).
void AddReplacements(const Descriptor* type, Json* conditions) {
  std::map<std::string, Json> replaced;
  for (int i = 0; i < type->field_count(); ++i) {
    const v1::FieldRules& rules = spec::Rules(type->field(i));
    if (rules.unless().empty()) continue;
    Json& rule = replaced[rules.unless()];
    const std::string& name = type->field(i)->name();
    rule["then"]["properties"][name] = false;
    if (rules.required()) rule["else"]["required"].push_back(name);
  }
  for (auto& [field, rule] : replaced) {
    rule["if"]["required"] = {field};
    conditions->push_back(std::move(rule));
  }
}

Json Conditions(const Descriptor* type) {
  std::map<std::string, std::map<std::string, Json>> then;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const spec::OnlyFor only_for = spec::ParseOnlyFor(field);
    if (only_for.field == nullptr) continue;
    for (int v = 0; v < only_for.field->enum_type()->value_count(); ++v) {
      const std::string value =
          spec::ValueName(only_for.field->enum_type()->value(v));
      if (value.empty()) continue;
      Json& rules = then[only_for.field->name()][value];
      const bool applies =
          std::find(only_for.values.begin(), only_for.values.end(), value) !=
          only_for.values.end();
      if (!applies) {
        rules["properties"][field->name()] = false;
      } else if (spec::Rules(field).required()) {
        rules["required"].push_back(field->name());
      }
    }
  }
  Json conditions = Json::array();
  for (const auto& [decider, values] : then) {
    for (const auto& [value, rules] : values) {
      if (rules.is_null()) continue;
      conditions.push_back({{"if",
                             {{"properties", {{decider, {{"const", value}}}}},
                              {"required", {decider}}}},
                            {"then", rules}});
    }
  }
  AddReplacements(type, &conditions);
  return conditions;
}

Json MessageSchema(const Descriptor* type) {
  Json schema = {{"type", "object"}};
  const std::string comment = CommentOf(type);
  if (!comment.empty()) schema["description"] = comment;
  Json required = Json::array();
  Json choices = Json::array();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    schema["properties"][field->name()] = FieldSchema(field);
    if (spec::Rules(field).required() &&
        spec::Rules(field).only_for().empty() &&
        spec::Rules(field).unless().empty()) {
      required.push_back(field->name());
    }
    if (field->real_containing_oneof() != nullptr) {
      choices.push_back({{"required", {field->name()}}});
    }
  }
  schema["additionalProperties"] = false;
  if (!required.empty()) schema["required"] = std::move(required);
  if (!choices.empty()) schema["oneOf"] = std::move(choices);
  Json conditions = Conditions(type);
  if (!conditions.empty()) schema["allOf"] = std::move(conditions);
  return schema;
}

}  // namespace

std::string SpecJsonSchema(const SpecSource& source) {
  Json schema = {
      {"$schema", "https://json-schema.org/draft/2020-12/schema"},
      {"title", "tfd job spec"},
      {"description",
       "Generated from proto/tfd/v1/job_spec.proto by `ninja spec_docs`."}};
  schema.update(Reference(source.root()->name()));
  Json& definitions = schema["$defs"];
  definitions[std::string(kVariable)] = {
      {"description", "Text with a variable of the environment in it."},
      {"type", "string"},
      {"pattern", kVariablePattern}};
  for (const SpecMessage& message : source.Messages()) {
    definitions[message.type->name()] = MessageSchema(message.type);
  }
  return absl::StrCat(schema.dump(2), "\n");
}

}  // namespace tfd::docs
