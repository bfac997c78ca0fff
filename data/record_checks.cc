#include "data/record_checks.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/units.h"

namespace tfd::data {

absl::Status CheckRecords(const DatasetInfo& info,
                          absl::Span<const uint64_t> records) {
  for (const uint64_t record : records) {
    if (record >= info.records) {
      return absl::OutOfRangeError(absl::StrCat(
          info.source, ": record ", record, " is not there, it has ",
          FormatCount(static_cast<int64_t>(info.records))));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckLabels(const DatasetInfo& info, int64_t classes,
                         absl::Span<const uint64_t> records,
                         const int64_t* labels) {
  for (size_t i = 0; i < records.size(); ++i) {
    if (labels[i] >= 0 && (classes == 0 || labels[i] < classes)) continue;
    const std::string expected =
        classes == 0
            ? "labels are the numbers of classes, from 0 on"
            : absl::StrCat("the model has ", classes,
                           " classes, so labels are 0 to ", classes - 1,
                           ": set model.classes or correct the labels");
    return absl::InvalidArgumentError(
        absl::StrCat(info.source, ": the label of record ", records[i], " is ",
                     labels[i], "; ", expected));
  }
  return absl::OkStatus();
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return shape.empty() ? "1" : absl::StrJoin(shape, "×");
}

}  // namespace tfd::data
