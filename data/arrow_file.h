// Our files as Arrow's.
#ifndef TFD_DATA_ARROW_FILE_H_
#define TFD_DATA_ARROW_FILE_H_

#include <arrow/io/interfaces.h>
#include <arrow/result.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/fs/file_system.h"

namespace tfd::data {

enum class ReadBy {
  // Every read copies: a file that somebody cuts short meanwhile is an error.
  kCopying,
  // Buffers point into the mapped file where it can be mapped, and keep it
  // open. For what stays in use: see RandomAccessFile::mapping.
  kMapping,
};

// The file at a path or URI, open for reading.
absl::StatusOr<std::shared_ptr<arrow::io::RandomAccessFile>> OpenForArrow(
    const std::string& uri, ReadBy read_by);

// A file being written, as Arrow's stream. Close does not commit it: that is
// its owner's. Thread-compatible.
class ArrowSink : public arrow::io::OutputStream {
 public:
  // `file` must outlive it.
  explicit ArrowSink(WritableFile* file) : file_(file) {}

  using arrow::io::OutputStream::Write;
  arrow::Status Write(const void* data, int64_t size_bytes) override;
  arrow::Status Close() override;
  bool closed() const override { return closed_; }
  arrow::Result<int64_t> Tell() const override { return position_; }

 private:
  WritableFile* const file_;
  int64_t position_ = 0;
  bool closed_ = false;
};

}  // namespace tfd::data

#endif  // TFD_DATA_ARROW_FILE_H_
