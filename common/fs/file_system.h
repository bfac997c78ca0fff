// Files, wherever they are. Readers, checkpoints and exports know only this
// interface; local folders are here, S3 and HDFS come with data/ (by Arrow).
#ifndef TFD_COMMON_FS_FILE_SYSTEM_H_
#define TFD_COMMON_FS_FILE_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tfd {

// An open file to read from. Thread-safe.
class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;
  virtual uint64_t size_bytes() const = 0;
  // Exactly `size_bytes` from `offset` into `out`, or OutOfRange naming file
  // and size where the file is shorter.
  virtual absl::Status Read(uint64_t offset, size_t size_bytes,
                            void* out) const = 0;
  // The whole file in memory where that costs no copy (mmap), else null. For
  // files that nobody cuts short: to read beyond the end raises SIGBUS. Valid
  // as long as the file is open.
  virtual const std::byte* mapping() const { return nullptr; }
};

// A file being written. Nothing is visible under its name before Commit; a
// file destroyed without Commit leaves nothing behind. Thread-compatible.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual absl::Status Append(const void* data, size_t size_bytes) = 0;
  // Durable (fsync of file and folder), then visible under its name, replacing
  // what was there, in one step.
  virtual absl::Status Commit() = 0;
};

struct FileInfo {
  std::string name;  // the last part of the path
  bool is_folder = false;
  uint64_t size_bytes = 0;
};

// Paths are absolute within their file system. Errors name the path. NotFound
// says which part of the path exists, and the nearest name there, if any.
// Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenForReading(
      const std::string& path) = 0;
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> OpenForWriting(
      const std::string& path) = 0;
  virtual absl::StatusOr<FileInfo> Stat(const std::string& path) = 0;
  // In the order of names. An absent folder is NotFound.
  virtual absl::StatusOr<std::vector<FileInfo>> List(
      const std::string& path) = 0;
  // With its parents; one that is there is fine.
  virtual absl::Status CreateFolder(const std::string& path) = 0;
  // A file, or a folder with all that is in it; absent is fine.
  virtual absl::Status Delete(const std::string& path) = 0;
  // Within one file system; replaces an empty folder or a file at `to`.
  virtual absl::Status Rename(const std::string& from,
                              const std::string& to) = 0;
  // Whether Rename takes folders. (S3 has none.)
  virtual bool RenamesFolders(const std::string& /*path*/) const {
    return true;
  }
};

// A file system and a path in it.
struct Location {
  FileSystem* file_system;  // lives as long as the process
  std::string path;
};

// "runs/mnist", "/data/x", "file:///data/x": the local file system. s3:// and
// hdfs://: that of remote_file_system.h. Other schemes: InvalidArgument that
// names those there are.
absl::StatusOr<Location> ResolveUri(absl::string_view uri);

FileSystem* LocalFileSystem();

// "a/b" + "c" → "a/b/c".
std::string JoinPath(absl::string_view folder, absl::string_view name);

// Shorthands for small files.
absl::StatusOr<std::string> ReadFile(FileSystem& file_system,
                                     const std::string& path);
absl::Status WriteFileAtomically(FileSystem& file_system,
                                 const std::string& path,
                                 absl::string_view contents);

}  // namespace tfd

#endif  // TFD_COMMON_FS_FILE_SYSTEM_H_
