// TFRecord files: each record is its length in 8 bytes (little endian), the
// masked CRC-32C of those in 4, its bytes, and their masked CRC-32C; here each
// is a tf.Example. The file may be compressed with gzip as a whole.
// https://www.tensorflow.org/tutorials/load_data/tfrecord
#ifndef TFD_DATA_TFRECORD_FILE_H_
#define TFD_DATA_TFRECORD_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/table_file.h"

namespace tfd::data {

// How the columns of examples are found out.
enum class ExampleTypes {
  // From the first record; another that differs is refused. What a dataset
  // wants.
  kFirstRecord,
  // From all records, read once ahead: lists may differ in length, features may
  // be missing.
  kAllRecords,
};

// Both checksums of every record are compared. Errors name the record and its
// byte (in a compressed file, of what is uncompressed).
absl::StatusOr<std::unique_ptr<TableReader>> OpenTfRecord(
    const std::string& path, ExampleTypes types = ExampleTypes::kFirstRecord);

// Compressed where the path ends in .gz.
absl::StatusOr<std::unique_ptr<TableWriter>> CreateTfRecord(
    const std::string& path, std::shared_ptr<arrow::Schema> schema);

}  // namespace tfd::data

#endif  // TFD_DATA_TFRECORD_FILE_H_
