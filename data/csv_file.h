// CSV files as tables, for conversion: with the types that their first rows
// seem to have. (As a dataset, where all are numbers, csv.h reads them.)
#ifndef TFD_DATA_CSV_FILE_H_
#define TFD_DATA_CSV_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/table_file.h"

namespace tfd::data {

absl::StatusOr<std::unique_ptr<TableReader>> OpenCsvFile(
    const std::string& path);

// With a header line. Columns of lists and bytes become one column per number.
absl::StatusOr<std::unique_ptr<TableWriter>> CreateCsvFile(
    const std::string& path);

}  // namespace tfd::data

#endif  // TFD_DATA_CSV_FILE_H_
