#include "data/feed/attempt_file.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crc32c.h"
#include "common/fs/file_system.h"
#include "common/status.h"

namespace tfd::data {
namespace {

constexpr uint8_t kZeros[8] = {};
constexpr uint64_t kBlockBytes = 1 << 20;

constexpr char kDiskFull[] = "tfd/spool-disk-full";

// EFBIG is the process's limit on the size of files, or the file system's.
bool IsWantOfRoom(int error) {
  return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

absl::Status DiskError(int error, const std::string& path) {
  if (!IsWantOfRoom(error)) {
    return ErrnoStatus(error, absl::StrCat("writing ", path));
  }
  absl::Status status = absl::UnavailableError(absl::StrCat(
      "the disk of the spool is full (writing ", path, ": ", strerror(error),
      "): the rows acknowledged so far are kept; make room and go "
      "on with the same attempt"));
  status.SetPayload(kDiskFull, absl::Cord());
  return status;
}

}  // namespace

AttemptFile::AttemptFile(std::string path, UniqueDescriptor descriptor)
    : path_(std::move(path)), descriptor_(std::move(descriptor)) {}

absl::StatusOr<std::unique_ptr<AttemptFile>> AttemptFile::Open(
    const std::string& path, const ColumnNames& names, RowWidths* widths) {
  UniqueDescriptor descriptor(
      open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!descriptor.valid()) {
    if (IsWantOfRoom(errno)) return DiskError(errno, path);
    return ErrnoStatus(errno, absl::StrCat("opening spool file ", path));
  }
  auto file = absl::WrapUnique(new AttemptFile(path, std::move(descriptor)));
  TFD_RETURN_IF_ERROR(file->Recover(names, widths));
  return file;
}

std::string AttemptFile::MarkerPath() const {
  return absl::StrCat(path_.substr(0, path_.size() - (sizeof(kSuffix) - 1)),
                      kMarkerSuffix);
}

absl::Status AttemptFile::Recover(const ColumnNames& names, RowWidths* widths) {
  TFD_RETURN_IF_ERROR(ReadMarker());
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file,
                       LocalFileSystem()->OpenForReading(path_));
  bool whole = false;
  auto rows = ReadIpcFile(*file, names, /*classes=*/0, widths);
  if (!rows.ok()) {
    spdlog::warn("{} is dropped, since its rows do not fit: {}", path_,
                 std::string(rows.status().message()));
  } else if (rows->schema) {
    rows_ = rows->rows;
    size_bytes_ = rows->end;
    schema_ = std::move(rows->schema);
    whole = rows->finished;
    if (whole && finished_) size_bytes_ += sizeof(kIpcEnd);
  }
  std::string block;
  for (uint64_t at = 0; at < size_bytes_; at += block.size()) {
    block.resize(std::min(kBlockBytes, size_bytes_ - at));
    TFD_RETURN_IF_ERROR(file->Read(at, block.size(), block.data()));
    crc32c_ = ExtendCrc32c(crc32c_, block.data(), block.size());
  }
  if (finished_ &&
      (!whole || finished_->rows != rows_ || finished_->crc32c != crc32c_)) {
    return absl::DataLossError(absl::StrCat(
        path_, " is not what ", MarkerPath(),
        " says it is: is the disk of the spool damaged? Use a new attempt"));
  }
  if (file->size_bytes() == size_bytes_) return absl::OkStatus();
  spdlog::info("{}: {} bytes that were not acknowledged are cut off", path_,
               file->size_bytes() - size_bytes_);
  file.reset();  // nothing may be mapped beyond the new end
  if (ftruncate(descriptor_.get(), static_cast<off_t>(size_bytes_)) != 0) {
    return DiskError(errno, path_);
  }
  return absl::OkStatus();
}

absl::Status AttemptFile::ReadMarker() {
  auto text = ReadFile(*LocalFileSystem(), MarkerPath());
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object() || !json.contains("rows") ||
      !json["rows"].is_number_integer() || !json.contains("crc32c") ||
      !json["crc32c"].is_number_integer()) {
    return absl::DataLossError(
        absl::StrCat(MarkerPath(), " is damaged: use a new attempt"));
  }
  finished_ =
      Sealable{json["rows"].get<int64_t>(), json["crc32c"].get<uint32_t>()};
  return absl::OkStatus();
}

uint64_t AttemptFile::MessageBytes(size_t metadata_bytes, size_t body_bytes) {
  const IpcPrefix prefix = MakeIpcPrefix(metadata_bytes);
  return sizeof(prefix.bytes) + metadata_bytes + prefix.padding + body_bytes;
}

absl::Status AttemptFile::WriteAll(
    absl::Span<const absl::Span<const uint8_t>> parts) {
  std::vector<iovec> left;
  uint64_t end = size_bytes_;
  uint32_t crc = crc32c_;
  for (const auto& part : parts) {
    if (part.empty()) continue;
    left.push_back({const_cast<uint8_t*>(part.data()), part.size()});
    crc = ExtendCrc32c(crc, part.data(), part.size());
  }
  size_t first = 0;
  while (first < left.size()) {
    const ssize_t written =
        pwritev(descriptor_.get(), &left[first],
                static_cast<int>(left.size() - first), static_cast<off_t>(end));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int error = written < 0 ? errno : ENOSPC;
      // Nothing of it stays; where even this fails, the next message is
      // written over it.
      if (ftruncate(descriptor_.get(), static_cast<off_t>(size_bytes_)) != 0) {
        spdlog::warn("{}: a message half-written stays at its end", path_);
      }
      return DiskError(error, path_);
    }
    end += static_cast<uint64_t>(written);
    auto rest = static_cast<size_t>(written);
    while (first < left.size() && rest >= left[first].iov_len) {
      rest -= left[first].iov_len;
      ++first;
    }
    if (first < left.size()) {
      left[first].iov_base = static_cast<char*>(left[first].iov_base) + rest;
      left[first].iov_len -= rest;
    }
  }
  size_bytes_ = end;
  crc32c_ = crc;
  return absl::OkStatus();
}

absl::Status AttemptFile::WriteMessage(absl::Span<const uint8_t> metadata,
                                       absl::Span<const uint8_t> body) {
  const IpcPrefix prefix = MakeIpcPrefix(metadata.size());
  return WriteAll({absl::MakeConstSpan(prefix.bytes), metadata,
                   absl::MakeConstSpan(kZeros, prefix.padding), body});
}

absl::Status AttemptFile::WriteSchema(absl::Span<const uint8_t> metadata,
                                      std::unique_ptr<RecordSchema> schema) {
  TFD_RETURN_IF_ERROR(WriteMessage(metadata, {}));
  schema_ = std::move(schema);
  return absl::OkStatus();
}

absl::Status AttemptFile::Append(absl::Span<const uint8_t> metadata,
                                 absl::Span<const uint8_t> body, int64_t rows) {
  if (finished_ || ended_) {
    return absl::FailedPreconditionError(
        absl::StrCat("this attempt was finished with ", rows_,
                     " rows: nothing can be added to it; use a new attempt"));
  }
  TFD_RETURN_IF_ERROR(broken_);
  TFD_RETURN_IF_ERROR(WriteMessage(metadata, body));
  rows_ += rows;
  return absl::OkStatus();
}

absl::StatusOr<AttemptFile::Sealable> AttemptFile::Finish() {
  if (finished_) return *finished_;
  TFD_RETURN_IF_ERROR(broken_);
  if (!ended_) {
    TFD_RETURN_IF_ERROR(WriteAll({absl::MakeConstSpan(kIpcEnd)}));
    // After a failure here nobody knows what is on the disk.
    if (fsync(descriptor_.get()) != 0) {
      const int error = errno;
      broken_ = absl::DataLossError(
          absl::StrCat("writing ", path_, " to the disk has failed (",
                       strerror(error), "): use a new attempt"));
      return broken_;
    }
    ended_ = true;
  }
  const nlohmann::json marker = {{"rows", rows_}, {"crc32c", crc32c_}};
  const absl::Status status = WriteFileAtomically(
      *LocalFileSystem(), MarkerPath(), marker.dump() + "\n");
  // Its code is that of the errno.
  if (absl::IsResourceExhausted(status)) return DiskError(ENOSPC, MarkerPath());
  TFD_RETURN_IF_ERROR(status);
  finished_ = Sealable{rows_, crc32c_};
  return *finished_;
}

bool IsDiskFull(const absl::Status& status) {
  return status.GetPayload(kDiskFull).has_value();
}

}  // namespace tfd::data
