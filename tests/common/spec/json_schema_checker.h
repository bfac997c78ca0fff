// As much of JSON Schema (draft 2020-12) as the generated schema uses.
#ifndef TFD_TESTS_COMMON_SPEC_JSON_SCHEMA_CHECKER_H_
#define TFD_TESTS_COMMON_SPEC_JSON_SCHEMA_CHECKER_H_

#include <nlohmann/json.hpp>
#include <string>

#include "common/spec/yaml_tree.h"

namespace tfd::spec {

// Empty where `value` fits `schema`; else where it does not and why. A keyword
// that is not known here is a misfit too, so that none is passed over.
std::string Misfit(const nlohmann::json& value, const nlohmann::json& schema);

// YAML as an editor reads it: plain true, false and numbers are such.
nlohmann::json ToJson(const YamlNode& node);

}  // namespace tfd::spec

#endif  // TFD_TESTS_COMMON_SPEC_JSON_SCHEMA_CHECKER_H_
