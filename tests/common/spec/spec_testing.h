// What the tests of specs share.
#ifndef TFD_TESTS_COMMON_SPEC_SPEC_TESTING_H_
#define TFD_TESTS_COMMON_SPEC_SPEC_TESTING_H_

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/spec/job_spec.h"

namespace tfd::spec {

// "LINE:COLUMN FIELD: MESSAGE", or "ORIGIN FIELD: MESSAGE".
inline std::string Show(const Problem& problem) {
  const Position& at = problem.position;
  return absl::StrCat(
      at.origin.empty() ? absl::StrCat(at.line, ":", at.column) : at.origin,
      " ", problem.field, ": ", problem.message);
}

inline std::vector<std::string> Show(const std::vector<Problem>& problems) {
  std::vector<std::string> lines;
  for (const Problem& problem : problems) lines.push_back(Show(problem));
  return lines;
}

// Fills a job spec; what is wrong with the text.
inline std::vector<std::string> Fill(const std::string& text,
                                     v1::JobSpec* spec) {
  Positions positions;
  return Show(FillFromYaml(
      text, {{"HOME", "/home/ada"}, {"DATA", "/data"}, {"NONE", ""}}, spec,
      &positions));
}

// A spec that nothing is wrong with; tests append to it or change it.
inline constexpr char kGoodSpec[] = R"(name: good
model: lenet
data:
  train: {format: idx, features: /f, labels: /l, batch_size: 64}
  validation: {format: idx, features: /f, labels: /l}
stop: {epochs: 2}
storage: runs/good
)";

}  // namespace tfd::spec

#endif  // TFD_TESTS_COMMON_SPEC_SPEC_TESTING_H_
