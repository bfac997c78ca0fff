#include "tests/common/spec/json_schema_checker.h"

#include <algorithm>
#include <regex>
#include <set>

#include "absl/strings/str_cat.h"

namespace tfd::spec {
namespace {

using nlohmann::json;

class Checker {
 public:
  explicit Checker(const json& root) : root_(root) {}

  std::string Check(const json& value, const json& schema,
                    const std::string& path) const {
    if (schema.is_boolean()) {
      return schema.get<bool>() ? "" : path + ": is not allowed";
    }
    for (const auto& [keyword, rule] : schema.items()) {
      const std::string misfit =
          CheckKeyword(keyword, rule, value, schema, path);
      if (!misfit.empty()) return misfit;
    }
    return "";
  }

 private:
  std::string CheckKeyword(const std::string& keyword, const json& rule,
                           const json& value, const json& schema,
                           const std::string& path) const {
    static const std::set<std::string> kNoRules = {
        "$schema", "$defs", "title", "description", "default", "then", "else"};
    if (kNoRules.count(keyword) > 0) return "";
    const auto failed = [&](bool fits) {
      return fits ? ""
                  : absl::StrCat(path, ": ", value.dump(), " breaks ", keyword,
                                 ": ", rule.dump());
    };
    if (keyword == "$ref") {
      return Check(
          value,
          root_.at(json::json_pointer(rule.get<std::string>().substr(1))),
          path);
    }
    if (keyword == "type") return failed(HasType(value, rule));
    if (keyword == "const") return failed(value == rule);
    if (keyword == "enum") {
      return failed(std::find(rule.begin(), rule.end(), value) != rule.end());
    }
    if (keyword == "not") return failed(!Check(value, rule, path).empty());
    if (keyword == "anyOf") return failed(CountFitting(value, rule, path) > 0);
    if (keyword == "oneOf") return failed(CountFitting(value, rule, path) == 1);
    if (keyword == "allOf") {
      for (const json& part : rule) {
        const std::string misfit = Check(value, part, path);
        if (!misfit.empty()) return misfit;
      }
      return "";
    }
    if (keyword == "if") {
      const char* branch = Check(value, rule, path).empty() ? "then" : "else";
      return schema.contains(branch) ? Check(value, schema[branch], path) : "";
    }
    if (value.is_number()) {
      if (keyword == "minimum") return failed(value >= rule);
      if (keyword == "exclusiveMinimum") return failed(value > rule);
      if (keyword == "maximum") return failed(value <= rule);
    }
    if (keyword == "pattern") {
      return failed(!value.is_string() ||
                    std::regex_search(value.get<std::string>(),
                                      std::regex(rule.get<std::string>())));
    }
    return CheckContainer(keyword, rule, value, schema, path);
  }

  std::string CheckContainer(const std::string& keyword, const json& rule,
                             const json& value, const json& schema,
                             const std::string& path) const {
    if (keyword == "required") {
      for (const json& name : rule) {
        if (value.is_object() && !value.contains(name.get<std::string>())) {
          return absl::StrCat(path, ": lacks ", name.dump());
        }
      }
      return "";
    }
    std::string misfit;
    if (keyword == "properties") {
      for (const auto& [name, part] : rule.items()) {
        if (misfit.empty() && value.is_object() && value.contains(name)) {
          misfit = Check(value.at(name), part, path + "." + name);
        }
      }
      return misfit;
    }
    if (keyword == "additionalProperties") {
      if (!value.is_object()) return "";
      for (const auto& [name, part] : value.items()) {
        const bool known = schema.contains("properties") &&
                           schema["properties"].contains(name);
        if (misfit.empty() && !known) {
          misfit = Check(part, rule, path + "." + name);
        }
      }
      return misfit;
    }
    if (keyword == "items") {
      for (const json& item : value) {
        if (misfit.empty()) misfit = Check(item, rule, path + "[]");
      }
      return misfit;
    }
    static const std::set<std::string> kNumbers = {"minimum", "maximum",
                                                   "exclusiveMinimum"};
    return kNumbers.count(keyword) > 0
               ? ""
               : "unknown keyword in schema: " + keyword;
  }

  int CountFitting(const json& value, const json& schemas,
                   const std::string& path) const {
    return static_cast<int>(
        std::count_if(schemas.begin(), schemas.end(), [&](const json& schema) {
          return Check(value, schema, path).empty();
        }));
  }

  static bool HasType(const json& value, const std::string& type) {
    return (type == "object" && value.is_object()) ||
           (type == "array" && value.is_array()) ||
           (type == "string" && value.is_string()) ||
           (type == "boolean" && value.is_boolean()) ||
           (type == "integer" && value.is_number_integer()) ||
           (type == "number" && value.is_number());
  }

  const json& root_;
};

}  // namespace

std::string Misfit(const json& value, const json& schema) {
  return Checker(schema).Check(value, schema, "");
}

json ToJson(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return nullptr;
    case YamlNode::Kind::kScalar: {
      const json value =
          node.quoted ? json() : json::parse(node.scalar, nullptr, false);
      return value.is_number() || value.is_boolean() ? value
                                                     : json(node.scalar);
    }
    case YamlNode::Kind::kList: {
      json list = json::array();
      for (const YamlNodePtr& item : node.items) list.push_back(ToJson(*item));
      return list;
    }
    case YamlNode::Kind::kMap: {
      json map = json::object();
      for (const YamlEntry& entry : node.entries) {
        map[entry.key->scalar] = ToJson(*entry.value);
      }
      return map;
    }
  }
  return nullptr;
}

}  // namespace tfd::spec
