#include "common/spec/expand.h"

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/nearest_name.h"

namespace tfd::spec {
namespace {

constexpr absl::string_view kOpen = "${";
constexpr absl::string_view kEscapedOpen = "$${";

bool IsVariableName(absl::string_view name) {
  return !name.empty() && !absl::ascii_isdigit(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

// What is wrong with ${`name`}, or "" and its value.
std::string LookUp(absl::string_view name, const Variables& variables,
                   std::string* value) {
  if (!IsVariableName(name)) {
    return absl::StrCat("\"${", name,
                        "}\" is no variable: write ${NAME} with letters, "
                        "digits and _ ($${ for ${ itself)");
  }
  auto found = variables.find(std::string(name));
  if (found == variables.end()) {
    std::vector<std::string> names;
    for (const auto& [known, unused] : variables) names.push_back(known);
    const std::string nearest = NearestName(name, names);
    return absl::StrCat("the variable ", name, " is not set; ",
                        nearest.empty()
                            ? std::string()
                            : absl::StrCat("did you mean ", nearest, "? else "),
                        "type: export ", name, "=…");
  }
  if (found->second.empty()) {
    return absl::StrCat("the variable ", name,
                        " is set but empty; type: export ", name, "=…");
  }
  *value = found->second;
  return "";
}

}  // namespace

absl::StatusOr<std::string> ExpandVariables(absl::string_view text,
                                            const Variables& variables) {
  std::string result;
  std::vector<std::string> problems;
  size_t at = 0;
  while (at < text.size()) {
    if (absl::StartsWith(text.substr(at), kEscapedOpen)) {
      absl::StrAppend(&result, kOpen);
      at += kEscapedOpen.size();
      continue;
    }
    if (!absl::StartsWith(text.substr(at), kOpen)) {
      result += text[at++];
      continue;
    }
    const size_t name = at + kOpen.size();
    const size_t end = text.find('}', name);
    if (end == text.npos) {
      problems.push_back(absl::StrCat(
          "\"", text,
          "\" has ${ without }; inside { } put quotes around the text"));
      break;
    }
    std::string value;
    std::string problem =
        LookUp(text.substr(name, end - name), variables, &value);
    if (!problem.empty()) problems.push_back(std::move(problem));
    result += value;
    at = end + 1;
  }
  if (!problems.empty()) {
    return absl::InvalidArgumentError(absl::StrJoin(problems, "; "));
  }
  return result;
}

absl::StatusOr<std::string> ExpandHome(absl::string_view path,
                                       const Variables& variables) {
  if (path != "~" && !absl::StartsWith(path, "~/")) return std::string(path);
  auto home = variables.find("HOME");
  if (home == variables.end() || home->second.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", path,
                     "\" begins with ~ and the variable HOME is not set; write "
                     "the whole path"));
  }
  return absl::StrCat(home->second, path.substr(1));
}

}  // namespace tfd::spec
