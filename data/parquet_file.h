// Apache Parquet (https://parquet.apache.org/docs/file-format). The only place
// that knows its library, which brings an OpenSSL of its own: what links it
// links the system's first (cmake/FindTfdArrow.cmake).
#ifndef TFD_DATA_PARQUET_FILE_H_
#define TFD_DATA_PARQUET_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/table_file.h"

namespace tfd::data {

// Row groups one after the other, decoded by the calling thread.
absl::StatusOr<std::unique_ptr<TableReader>> OpenParquet(
    const std::string& path);

// Compressed with zstd; the row groups are small enough to be read one at a
// time.
absl::StatusOr<std::unique_ptr<TableWriter>> CreateParquet(
    const std::string& path, std::shared_ptr<arrow::Schema> schema);

}  // namespace tfd::data

#endif  // TFD_DATA_PARQUET_FILE_H_
