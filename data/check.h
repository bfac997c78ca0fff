// `tfd-data check`: what a dataset is, or what is wrong with it, before
// anything is started.
#ifndef TFD_DATA_CHECK_H_
#define TFD_DATA_CHECK_H_

#include <string>

#include "absl/status/statusor.h"

namespace tfd::data {

// `dataset_json` is a v1.DatasetSpec in protobuf's JSON mapping, with absolute
// paths. Opens it and gives a line of JSON:
//   {"records": 60000, "shape": [28, 28], "dtype": "uint8",
//    "labels": {"smallest": 0, "largest": 9}}
// and "left_out", the number of rows that are no records, because of nulls in
// them (nulls: drop), where there are some;
// labels, of the first thousand records, only where there are some. Pushed data
// has no records yet: {"pushed": true, "features": [NAME…], "label": NAME}.
absl::StatusOr<std::string> CheckDataset(const std::string& dataset_json);

// The whole command: the spec from standard input, the answer to standard
// output, or the problem to standard error; gives the exit code.
int RunCheck();

}  // namespace tfd::data

#endif  // TFD_DATA_CHECK_H_
