// The spool file of one attempt of a partition: an Arrow IPC stream that rows
// are appended to and that survives the death of its writer.
//
//   ATTEMPT.arrow   the rows. What is in it has been acknowledged, or may be.
//   ATTEMPT.json    {"rows": N, "crc32c": C}: the file is whole and on disk.
//                   Written after the file was fsynced and before anybody is
//                   asked to seal it; so what is sealed always has one.
#ifndef TFD_DATA_FEED_ATTEMPT_FILE_H_
#define TFD_DATA_FEED_ATTEMPT_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/unique_descriptor.h"
#include "data/columns.h"
#include "data/ipc_stream.h"
#include "data/record_schema.h"

namespace tfd::data {

// Thread-compatible.
class AttemptFile {
 public:
  struct Sealable {
    int64_t rows = 0;
    uint32_t crc32c = 0;
  };

  static constexpr char kSuffix[] = ".arrow";
  static constexpr char kMarkerSuffix[] = ".json";

  // Opens the file at `path` (ending in kSuffix), whose folder exists, or
  // creates it. What a killed writer left half-written at its end is cut off. A
  // file whose rows do not fit is emptied. `widths` as in RecordSchema.
  static absl::StatusOr<std::unique_ptr<AttemptFile>> Open(
      const std::string& path, const ColumnNames& names, RowWidths* widths);

  // Rows in the file: whoever goes on begins here.
  int64_t rows() const { return rows_; }
  uint64_t size_bytes() const { return size_bytes_; }
  // The schema of what is in the file; null where nothing is.
  const RecordSchema* schema() const { return schema_.get(); }
  // Set once Finish was called, by this process or one before it: nothing can
  // be appended any more.
  const std::optional<Sealable>& finished() const { return finished_; }

  // How much longer the file becomes by a message.
  static uint64_t MessageBytes(size_t metadata_bytes, size_t body_bytes);

  // Writes the schema, which must be the first message.
  absl::Status WriteSchema(absl::Span<const uint8_t> metadata,
                           std::unique_ptr<RecordSchema> schema);
  // Appends one record batch of `rows` rows, all of it or nothing. In the
  // page cache when this returns, so that it survives this process. Where the
  // disk is full (IsDiskFull), it can be tried again.
  absl::Status Append(absl::Span<const uint8_t> metadata,
                      absl::Span<const uint8_t> body, int64_t rows);
  // Ends the stream and makes it durable. Idempotent; can be tried again where
  // the disk is full.
  absl::StatusOr<Sealable> Finish();

 private:
  AttemptFile(std::string path, UniqueDescriptor descriptor);

  absl::Status Recover(const ColumnNames& names, RowWidths* widths);
  absl::Status ReadMarker();
  absl::Status WriteAll(absl::Span<const absl::Span<const uint8_t>> parts);
  absl::Status WriteMessage(absl::Span<const uint8_t> metadata,
                            absl::Span<const uint8_t> body);
  std::string MarkerPath() const;

  const std::string path_;
  const UniqueDescriptor descriptor_;
  int64_t rows_ = 0;
  uint64_t size_bytes_ = 0;
  // Of the first size_bytes_ bytes.
  uint32_t crc32c_ = 0;
  std::unique_ptr<RecordSchema> schema_;
  std::optional<Sealable> finished_;
  // The end is written, and on disk; the marker is missing.
  bool ended_ = false;
  absl::Status broken_;
};

// Whether a write failed for want of room, which may come: Unavailable.
bool IsDiskFull(const absl::Status& status);

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_ATTEMPT_FILE_H_
