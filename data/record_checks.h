// What every dataset checks of the records asked for and of the labels read.
#ifndef TFD_DATA_RECORD_CHECKS_H_
#define TFD_DATA_RECORD_CHECKS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "data/dataset.h"

namespace tfd::data {

// OutOfRange, naming the first number that is not below info.records.
absl::Status CheckRecords(const DatasetInfo& info,
                          absl::Span<const uint64_t> records);

// InvalidArgument, naming the first label that is negative or, where `classes`
// is not 0, not below it.
absl::Status CheckLabels(const DatasetInfo& info, int64_t classes,
                         absl::Span<const uint64_t> records,
                         const int64_t* labels);

// "28×28", "784"; "1" for a single number.
std::string ShapeText(const std::vector<int64_t>& shape);

}  // namespace tfd::data

#endif  // TFD_DATA_RECORD_CHECKS_H_
