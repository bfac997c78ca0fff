#include "data/columns.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status.h"

namespace tfd::data {
namespace {

constexpr char kFeatures[] = "features";
constexpr char kLabel[] = "label";
// So many names at most stand in a message.
constexpr size_t kMaxNamesShown = 12;

}  // namespace

absl::StatusOr<ColumnNames> ColumnsOf(const v1::DatasetSpec& spec) {
  ColumnNames names;
  TFD_ASSIGN_OR_RETURN(names.nulls, NullPolicyOf(spec.nulls()));
  for (const auto& [role, value] : spec.columns()) {
    if (role == kLabel) {
      names.label = std::string(absl::StripAsciiWhitespace(value));
    } else if (role == kFeatures) {
      for (const absl::string_view name : absl::StrSplit(value, ',')) {
        names.features.emplace_back(absl::StripAsciiWhitespace(name));
      }
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("columns: \"", role,
                       "\" is neither features nor label: write columns: "
                       "{features: NAME, label: NAME}"));
    }
  }
  std::vector<std::string> all = names.features;
  if (spec.columns().contains(kLabel)) all.push_back(names.label);
  std::sort(all.begin(), all.end());
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].empty()) {
      return absl::InvalidArgumentError(
          "columns: the name of a column is empty");
    }
    if (i > 0 && all[i] == all[i - 1]) {
      return absl::InvalidArgumentError(
          absl::StrCat("columns: \"", all[i], "\" is there twice"));
    }
  }
  if (spec.format() == v1::DatasetSpec::PUSHED) {
    if (names.features.empty()) names.features.push_back(kFeatures);
    if (names.label.empty()) names.label = kLabel;
  }
  return names;
}

std::string NamesText(const std::vector<std::string>& names) {
  if (names.size() <= kMaxNamesShown) return absl::StrJoin(names, ", ");
  const std::vector<std::string> head(names.begin(),
                                      names.begin() + kMaxNamesShown);
  return absl::StrCat(absl::StrJoin(head, ", "), ", … (", names.size(),
                      " in all)");
}

}  // namespace tfd::data
