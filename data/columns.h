// Which columns of a table are features and which is the label, and what
// becomes of nulls in them.
#ifndef TFD_DATA_COLUMNS_H_
#define TFD_DATA_COLUMNS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/nulls.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::data {

struct ColumnNames {
  // In the order of the record's numbers; empty: all but the label, in the
  // order of the table.
  std::vector<std::string> features;
  // Empty: the spec names none.
  std::string label;
  // What becomes of rows with nulls in these columns.
  NullPolicy nulls = {};
};

// spec.columns: {features: NAME or NAME,NAME,…, label: NAME}. For pushed data
// what is not given is "features" and "label". And spec.nulls. InvalidArgument
// for any other key, an empty name or one that is there twice.
absl::StatusOr<ColumnNames> ColumnsOf(const v1::DatasetSpec& spec);

// "a, b, c", cut where there are many; for messages.
std::string NamesText(const std::vector<std::string>& names);

}  // namespace tfd::data

#endif  // TFD_DATA_COLUMNS_H_
