// Files in Arrow's IPC format, as other programs write them: the file format
// (Feather) or a stream. (The spool's own are read by ipc_stream.h.)
// https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format
#ifndef TFD_DATA_IPC_FILE_H_
#define TFD_DATA_IPC_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/table_file.h"

namespace tfd::data {

// Whichever of the two it is. Batches that are not compressed point into the
// mapped file.
absl::StatusOr<std::unique_ptr<TableReader>> OpenIpcFile(
    const std::string& path);

// The file format, not compressed: to be mapped.
absl::StatusOr<std::unique_ptr<TableWriter>> CreateIpcFile(
    const std::string& path, std::shared_ptr<arrow::Schema> schema);

}  // namespace tfd::data

#endif  // TFD_DATA_IPC_FILE_H_
