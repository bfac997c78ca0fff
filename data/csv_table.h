// One CSV file read by Arrow: numbers into rows, errors with file and line.
#ifndef TFD_DATA_CSV_TABLE_H_
#define TFD_DATA_CSV_TABLE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/nulls.h"

namespace arrow {
class Status;
namespace csv {
class StreamingReader;
struct ConvertOptions;
}  // namespace csv
}  // namespace arrow

namespace tfd::data {

// Rows of one block of a file, in their order.
struct CsvBlock {
  // rows × columns numbers, row by row.
  std::vector<float> features;
  // As many as rows; empty where no label column was asked for.
  std::vector<int64_t> labels;
  // Rows that are not here because of nulls in them.
  int64_t left_out = 0;
};

struct CsvColumns {
  std::vector<std::string> features;
  // Empty: none.
  std::string label;
  NullPolicy nulls = {};
};

// The names in the header line. InvalidArgument where the file is empty or a
// name is there twice.
absl::StatusOr<std::vector<std::string>> ReadCsvHeader(const std::string& path);

// Reads the file block by block and gives each to `take`; its error ends the
// reading. The columns must be in the header. What is a null, unless
// columns.nulls refuses them, is what Arrow and pandas take for one: nothing,
// NA, NULL, NaN and the like. A row with too few or too many
// values, a feature that is not a finite number and a label that is not an
// integer from 0 (below `classes`, where that is not 0) are InvalidArgument
// with file, line, column and value.
absl::Status ReadCsv(const std::string& path, const CsvColumns& columns,
                     int64_t classes,
                     const std::function<absl::Status(CsvBlock)>& take);

// Arrow's reader of a file, block by block; of the problems that it may have,
// its messages name rows, which FromCsvError turns into lines.
absl::StatusOr<std::shared_ptr<arrow::csv::StreamingReader>> OpenCsvStream(
    const std::string& path, const std::vector<std::string>& header,
    const arrow::csv::ConvertOptions& convert);

// Arrow's error with our file, line and column where it says which row.
absl::Status FromCsvError(const std::string& path,
                          const std::vector<std::string>& header,
                          const arrow::Status& status);

}  // namespace tfd::data

#endif  // TFD_DATA_CSV_TABLE_H_
