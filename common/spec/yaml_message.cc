#include "common/spec/yaml_message.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/spec/field.h"
#include "common/spec/filler.h"
#include "common/spec/yaml_tree.h"

namespace tfd::spec {

std::vector<Problem> FillFromYaml(
    absl::string_view text, const std::map<std::string, std::string>& variables,
    google::protobuf::Message* message, Positions* positions) {
  YamlTree tree = ParseYaml(text);
  std::vector<Problem> problems = std::move(tree.problems);
  Filler filler(message->GetDescriptor(), variables, positions, &problems);
  if (tree.root->kind != YamlNode::Kind::kNull) {
    filler.FillMessage(*tree.root, "", message);
  }
  SortProblems(&problems);
  return problems;
}

void SortProblems(std::vector<Problem>* problems) {
  // What has no place in the text comes after what has, in its own order.
  const auto key = [](const Problem& problem) {
    const Position& at = problem.position;
    return std::make_tuple(at.line == 0, at.line, at.column);
  };
  std::stable_sort(
      problems->begin(), problems->end(),
      [&](const Problem& a, const Problem& b) { return key(a) < key(b); });
}

absl::Status ProblemsToStatus(absl::string_view file,
                              const std::vector<Problem>& problems) {
  if (problems.empty()) return absl::OkStatus();
  std::vector<std::string> lines;
  for (const Problem& problem : problems) {
    const Position& at = problem.position;
    std::string line = at.origin.empty() ? std::string(file) : at.origin;
    if (at.line > 0) absl::StrAppend(&line, ":", at.line, ":", at.column);
    if (!problem.field.empty()) absl::StrAppend(&line, ": ", problem.field);
    lines.push_back(absl::StrCat(line, ": ", problem.message));
  }
  return absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
}

}  // namespace tfd::spec
