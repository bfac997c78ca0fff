// `tfd-data convert`: files of records in another format.
#ifndef TFD_DATA_CONVERT_H_
#define TFD_DATA_CONVERT_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tfd::data {

struct ConvertOptions {
  // A path, or a pattern with * in its last part for several files, whose
  // columns must be the same.
  std::string input;
  std::string output;
  // idx, csv, parquet, arrow or tfrecord; empty: by the name.
  std::string from;
  std::string to;
  // idx: the file of labels, read or written. Without, only features are.
  std::string labels;
  // The label's column, where it becomes or was idx.
  std::string label_column = "label";
  // NAME,NAME,…; empty: all.
  std::string columns;
};

// Gives the number of records. The output appears under its name when all of it
// is written, and not at all otherwise. `progress` is called now and then with
// the records done; what it says other than OK ends the conversion.
absl::StatusOr<int64_t> ConvertFiles(
    const ConvertOptions& options,
    const std::function<absl::Status(int64_t done)>& progress);

}  // namespace tfd::data

#endif  // TFD_DATA_CONVERT_H_
