// Files of tables, whatever their format: record batches in order. What reads
// and writes one format is behind these interfaces (parquet_file.h,
// ipc_file.h, tfrecord_file.h).
#ifndef TFD_DATA_TABLE_FILE_H_
#define TFD_DATA_TABLE_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace arrow {
class RecordBatch;
class Schema;
}  // namespace arrow

namespace tfd::data {

// An open file. Errors do not name the file: who opened it does that.
// Thread-compatible.
class TableReader {
 public:
  virtual ~TableReader() = default;

  // All that the file has.
  virtual const std::shared_ptr<arrow::Schema>& schema() const = 0;

  // The top-level columns to read, once, before the first Next; without, all.
  virtual absl::Status Select(const std::vector<int>& columns) = 0;

  // The next rows, with the columns selected (in the schema's order); null at
  // the end. What cannot be read is InvalidArgument, with its place and, where
  // it is known, the column.
  virtual absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> Next() = 0;

  // Where the last rows are from, "row group 3", for messages; empty where a
  // row's number says enough.
  virtual std::string Place() const { return ""; }

  // What the last rows take of memory that is not a mapped file.
  virtual uint64_t memory_bytes() const = 0;
};

// A file being written. Thread-compatible.
class TableWriter {
 public:
  virtual ~TableWriter() = default;
  // Batches have the schema that the writer was made for.
  virtual absl::Status Write(const arrow::RecordBatch& batch) = 0;
  // Writes what is left, and makes the file visible under its name.
  virtual absl::Status Finish() = 0;
};

}  // namespace tfd::data

#endif  // TFD_DATA_TABLE_FILE_H_
