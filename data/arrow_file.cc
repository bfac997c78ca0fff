#include "data/arrow_file.h"

#include <arrow/buffer.h>
#include <arrow/io/memory.h>

#include <algorithm>
#include <utility>

#include "common/fs/remote_file_system.h"
#include "common/status.h"
#include "data/remote_files.h"

namespace tfd::data {
namespace {

arrow::Status ToArrow(const absl::Status& status) {
  return status.ok() ? arrow::Status::OK()
                     : arrow::Status::IOError(std::string(status.message()));
}

// The whole of a mapped file; keeps it open.
class MappedBuffer : public arrow::Buffer {
 public:
  explicit MappedBuffer(std::unique_ptr<RandomAccessFile> file)
      : arrow::Buffer(reinterpret_cast<const uint8_t*>(file->mapping()),
                      static_cast<int64_t>(file->size_bytes())),
        file_(std::move(file)) {}

 private:
  const std::unique_ptr<RandomAccessFile> file_;
};

class CopyingFile : public arrow::io::RandomAccessFile {
 public:
  explicit CopyingFile(std::unique_ptr<tfd::RandomAccessFile> file)
      : file_(std::move(file)) {}

  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  arrow::Result<int64_t> GetSize() override {
    return static_cast<int64_t>(file_->size_bytes());
  }
  arrow::Result<int64_t> Tell() const override { return position_; }
  arrow::Status Seek(int64_t position) override {
    position_ = position;
    return arrow::Status::OK();
  }

  arrow::Result<int64_t> ReadAt(int64_t position, int64_t wanted,
                                void* out) override {
    const auto size = static_cast<int64_t>(file_->size_bytes());
    if (position < 0 || wanted < 0 || position > size) {
      return arrow::Status::IOError("a read of ", wanted, " bytes at ",
                                    position, " is outside of the file's ",
                                    size);
    }
    const int64_t count = std::min(wanted, size - position);
    ARROW_RETURN_NOT_OK(ToArrow(file_->Read(position, count, out)));
    return count;
  }

  arrow::Result<std::shared_ptr<arrow::Buffer>> ReadAt(
      int64_t position, int64_t wanted) override {
    // Not more than there is: a damaged file may promise anything.
    const auto size = static_cast<int64_t>(file_->size_bytes());
    const int64_t capacity =
        std::max<int64_t>(0, std::min(wanted, size - position));
    ARROW_ASSIGN_OR_RAISE(auto buffer,
                          arrow::AllocateResizableBuffer(capacity));
    ARROW_ASSIGN_OR_RAISE(const int64_t count,
                          ReadAt(position, capacity, buffer->mutable_data()));
    ARROW_RETURN_NOT_OK(buffer->Resize(count));
    return std::shared_ptr<arrow::Buffer>(std::move(buffer));
  }

  arrow::Result<int64_t> Read(int64_t wanted, void* out) override {
    ARROW_ASSIGN_OR_RAISE(const int64_t count, ReadAt(position_, wanted, out));
    position_ += count;
    return count;
  }

  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t wanted) override {
    ARROW_ASSIGN_OR_RAISE(auto buffer, ReadAt(position_, wanted));
    position_ += buffer->size();
    return buffer;
  }

 private:
  const std::unique_ptr<tfd::RandomAccessFile> file_;
  int64_t position_ = 0;
  bool closed_ = false;
};

}  // namespace

absl::StatusOr<std::shared_ptr<arrow::io::RandomAccessFile>> OpenForArrow(
    const std::string& uri, ReadBy read_by) {
  if (IsRemoteUri(uri)) return OpenRemote(uri);
  TFD_ASSIGN_OR_RETURN(Location location, ResolveUri(uri));
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file,
                       location.file_system->OpenForReading(location.path));
  if (read_by == ReadBy::kMapping && file->mapping() != nullptr) {
    return std::make_shared<arrow::io::BufferReader>(
        std::make_shared<MappedBuffer>(std::move(file)));
  }
  return std::make_shared<CopyingFile>(std::move(file));
}

arrow::Status ArrowSink::Write(const void* data, int64_t size_bytes) {
  ARROW_RETURN_NOT_OK(ToArrow(file_->Append(data, size_bytes)));
  position_ += size_bytes;
  return arrow::Status::OK();
}

arrow::Status ArrowSink::Close() {
  closed_ = true;
  return arrow::Status::OK();
}

}  // namespace tfd::data
