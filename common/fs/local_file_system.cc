// Local folders. Files are written to an unnamed inode (O_TMPFILE) where the
// system has them, so that even a killed process leaves nothing behind.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/base/call_once.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/fs/file_system.h"
#include "common/nearest_name.h"
#include "common/random.h"
#include "common/status.h"
#include "common/unique_descriptor.h"

namespace tfd {
namespace {

// Files that are being written where O_TMPFILE is missing; never listed.
constexpr absl::string_view kTemporaryPrefix = ".tfd-tmp-";
// Small appends are gathered up to this size.
constexpr size_t kWriteBufferBytes = 64 << 10;
// Folders larger than this are not searched for a similar name.
constexpr size_t kMaxNamesCompared = 10000;

std::string FolderOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) {
  return path.substr(path.find_last_of('/') + 1);
}

std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end;
       !error && entry != end && names.size() < kMaxNamesCompared;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Which part of an absent path is there, and what its next part may have been
// meant to be.
absl::Status Missing(const std::string& path) {
  std::string parent = path;
  std::string absent;
  struct stat info {};
  if (lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode)) {
    std::error_code error;
    return absl::NotFoundError(
        absl::StrCat(path, " is a link to ",
                     std::filesystem::read_symlink(path, error).string(),
                     ", which does not exist"));
  }
  do {
    absent = NameOf(parent);
    parent = FolderOf(parent);
  } while (stat(parent.c_str(), &info) != 0 && parent != "/" && parent != ".");
  if (!S_ISDIR(info.st_mode)) {
    return absl::NotFoundError(absl::StrCat(path, " does not exist: ", parent,
                                            " is a file, not a folder"));
  }
  std::string message = absl::StrCat(path, " does not exist: ", parent,
                                     " has no \"", absent, "\"");
  const std::string nearest = NearestName(absent, NamesIn(parent));
  if (!nearest.empty()) {
    absl::StrAppend(&message, "; did you mean \"", nearest, "\"?");
  }
  return absl::NotFoundError(message);
}

absl::Status PathError(int error_number, absl::string_view what,
                       const std::string& path) {
  if (error_number == ENOENT || error_number == ENOTDIR) return Missing(path);
  return ErrnoStatus(error_number, absl::StrCat("cannot ", what, " ", path));
}

absl::Status SyncFolder(const std::string& folder) {
  const UniqueDescriptor descriptor(
      open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems refuse to sync a folder (EINVAL) and need none.
  if (!descriptor.valid() ||
      (fsync(descriptor.get()) != 0 && errno != EINVAL)) {
    return PathError(errno, "sync the folder", folder);
  }
  return absl::OkStatus();
}

class LocalRandomAccessFile : public RandomAccessFile {
 public:
  LocalRandomAccessFile(std::string path, UniqueDescriptor descriptor,
                        uint64_t size_bytes)
      : path_(std::move(path)),
        descriptor_(std::move(descriptor)),
        size_bytes_(size_bytes) {}
  ~LocalRandomAccessFile() override {
    if (mapping_ != nullptr) munmap(mapping_, size_bytes_);
  }

  uint64_t size_bytes() const override { return size_bytes_; }

  absl::Status Read(uint64_t offset, size_t size_bytes,
                    void* out) const override {
    auto* next = static_cast<char*>(out);
    uint64_t at = offset;
    size_t left = size_bytes;
    while (left > 0) {
      const ssize_t got =
          pread(descriptor_.get(), next, left, static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return PathError(errno, "read", path_);
      if (got == 0) return TooShort(offset, size_bytes);
      next += got;
      at += static_cast<uint64_t>(got);
      left -= static_cast<size_t>(got);
    }
    return absl::OkStatus();
  }

  const std::byte* mapping() const override {
    absl::call_once(map_once_, [this] {
      if (size_bytes_ == 0) return;
      void* address = mmap(nullptr, size_bytes_, PROT_READ, MAP_SHARED,
                           descriptor_.get(), 0);
      if (address != MAP_FAILED) mapping_ = address;
    });
    return static_cast<const std::byte*>(mapping_);
  }

 private:
  absl::Status TooShort(uint64_t offset, size_t size_bytes) const {
    struct stat info {};
    fstat(descriptor_.get(), &info);
    return absl::OutOfRangeError(absl::StrCat(
        path_, " has ", info.st_size, " bytes; ", size_bytes, " at offset ",
        offset,
        " were expected. Is it truncated, or another file than meant?"));
  }

  const std::string path_;
  const UniqueDescriptor descriptor_;
  const uint64_t size_bytes_;
  mutable absl::once_flag map_once_;
  mutable void* mapping_ = nullptr;  // set once, under map_once_
};

class LocalWritableFile : public WritableFile {
 public:
  static absl::StatusOr<std::unique_ptr<WritableFile>> Create(
      const std::string& path) {
    auto file = std::unique_ptr<LocalWritableFile>(new LocalWritableFile(path));
    // Others may read what is committed, as far as the umask lets them.
    file->descriptor_ = UniqueDescriptor(
        open(file->folder_.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666));
    if (!file->descriptor_.valid() && errno != ENOENT && errno != EACCES) {
      file->temporary_ = file->TemporaryName();
      file->descriptor_ =
          UniqueDescriptor(open(file->temporary_.c_str(),
                                O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666));
      if (!file->descriptor_.valid()) file->temporary_.clear();
    }
    if (!file->descriptor_.valid()) {
      return Annotate(PathError(errno, "create a file in", file->folder_),
                      absl::StrCat("cannot write ", path));
    }
    return file;
  }

  ~LocalWritableFile() override {
    if (!temporary_.empty()) unlink(temporary_.c_str());
  }

  absl::Status Append(const void* data, size_t size_bytes) override {
    const auto* bytes = static_cast<const char*>(data);
    if (buffer_.size() + size_bytes < kWriteBufferBytes) {
      buffer_.append(bytes, size_bytes);
      return absl::OkStatus();
    }
    TFD_RETURN_IF_ERROR(Flush());
    return Write(bytes, size_bytes);
  }

  absl::Status Commit() override {
    TFD_RETURN_IF_ERROR(Flush());
    if (fsync(descriptor_.get()) != 0) {
      return PathError(errno, "sync", path_);
    }
    if (temporary_.empty()) TFD_RETURN_IF_ERROR(GiveTemporaryName());
    if (rename(temporary_.c_str(), path_.c_str()) != 0) {
      return ErrnoStatus(errno, absl::StrCat("cannot replace ", path_));
    }
    temporary_.clear();
    return SyncFolder(folder_);
  }

 private:
  explicit LocalWritableFile(const std::string& path)
      : path_(path), folder_(FolderOf(path)) {}

  std::string TemporaryName() const {
    constexpr size_t kRandomCharacters = 12;
    return JoinPath(
        folder_, absl::StrCat(kTemporaryPrefix, RandomId(kRandomCharacters)));
  }

  // linkat does not replace, rename does: so the inode gets a name first.
  absl::Status GiveTemporaryName() {
    const std::string name = TemporaryName();
    const std::string inode = absl::StrCat("/proc/self/fd/", descriptor_.get());
    if (linkat(AT_FDCWD, inode.c_str(), AT_FDCWD, name.c_str(),
               AT_SYMLINK_FOLLOW) != 0) {
      return ErrnoStatus(errno, absl::StrCat("cannot name ", path_));
    }
    temporary_ = name;
    return absl::OkStatus();
  }

  absl::Status Flush() {
    TFD_RETURN_IF_ERROR(Write(buffer_.data(), buffer_.size()));
    buffer_.clear();
    return absl::OkStatus();
  }

  absl::Status Write(const char* bytes, size_t size_bytes) {
    while (size_bytes > 0) {
      const ssize_t put = write(descriptor_.get(), bytes, size_bytes);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return PathError(errno, "write", path_);
      bytes += put;
      size_bytes -= static_cast<size_t>(put);
    }
    return absl::OkStatus();
  }

  const std::string path_;
  const std::string folder_;
  UniqueDescriptor descriptor_;
  std::string temporary_;  // its name while it has one that is to be removed
  std::string buffer_;
};

FileInfo InfoOf(std::string name, const struct stat& info) {
  FileInfo result;
  result.name = std::move(name);
  result.is_folder = S_ISDIR(info.st_mode);
  result.size_bytes =
      result.is_folder ? 0 : static_cast<uint64_t>(info.st_size);
  return result;
}

class LocalFiles : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenForReading(
      const std::string& path) override {
    // O_NONBLOCK: opening a FIFO would wait for its writer.
    UniqueDescriptor descriptor(
        open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat info;
    if (!descriptor.valid() || fstat(descriptor.get(), &info) != 0) {
      return PathError(errno, "open", path);
    }
    if (!S_ISREG(info.st_mode)) {
      return absl::FailedPreconditionError(absl::StrCat(
          path, S_ISDIR(info.st_mode) ? " is a folder" : " is no regular file",
          "; a file is expected"));
    }
    return std::make_unique<LocalRandomAccessFile>(
        path, std::move(descriptor), static_cast<uint64_t>(info.st_size));
  }

  absl::StatusOr<std::unique_ptr<WritableFile>> OpenForWriting(
      const std::string& path) override {
    return LocalWritableFile::Create(path);
  }

  absl::StatusOr<FileInfo> Stat(const std::string& path) override {
    struct stat info;
    if (stat(path.c_str(), &info) != 0) return PathError(errno, "stat", path);
    return InfoOf(NameOf(path), info);
  }

  absl::StatusOr<std::vector<FileInfo>> List(const std::string& path) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()),
                                                     closedir);
    if (folder == nullptr) {
      struct stat info;
      if (errno == ENOTDIR && stat(path.c_str(), &info) == 0) {
        return absl::FailedPreconditionError(
            absl::StrCat(path, " is a file; a folder is expected"));
      }
      return PathError(errno, "list", path);
    }
    std::vector<FileInfo> files;
    errno = 0;
    while (const dirent* entry = readdir(folder.get())) {
      const std::string name = entry->d_name;
      struct stat info;
      // One that is gone by now is as if it had never been there.
      if (name != "." && name != ".." &&
          !absl::StartsWith(name, kTemporaryPrefix) &&
          fstatat(dirfd(folder.get()), name.c_str(), &info, 0) == 0) {
        files.push_back(InfoOf(name, info));
      }
      errno = 0;
    }
    if (errno != 0) return PathError(errno, "list", path);
    std::sort(
        files.begin(), files.end(),
        [](const FileInfo& a, const FileInfo& b) { return a.name < b.name; });
    return files;
  }

  absl::Status CreateFolder(const std::string& path) override {
    struct stat info;
    if (mkdir(path.c_str(), 0777) == 0) return SyncFolder(FolderOf(path));
    const int error = errno;
    if (error == ENOENT && FolderOf(path) != path) {
      TFD_RETURN_IF_ERROR(CreateFolder(FolderOf(path)));
      if (mkdir(path.c_str(), 0777) == 0) return SyncFolder(FolderOf(path));
    }
    if (stat(path.c_str(), &info) == 0) {
      if (S_ISDIR(info.st_mode)) return absl::OkStatus();
      return absl::FailedPreconditionError(
          absl::StrCat(path, " is a file; remove it or choose another folder"));
    }
    if (error == ENOTDIR) {
      return Annotate(Missing(path), "cannot create the folder");
    }
    return ErrnoStatus(error, absl::StrCat("cannot create the folder ", path));
  }

  absl::Status Delete(const std::string& path) override {
    if (path.empty() || path == "/") {
      return absl::InvalidArgumentError(
          absl::StrCat("refused to delete \"", path, "\""));
    }
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) {
      return ErrnoStatus(error.value(), absl::StrCat("cannot delete ", path));
    }
    return absl::OkStatus();
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) != 0) {
      const int error = errno;
      struct stat info;
      if (error == ENOENT && lstat(from.c_str(), &info) == 0) {
        return Annotate(Missing(to), absl::StrCat("cannot rename ", from));
      }
      return error == ENOENT
                 ? Missing(from)
                 : ErrnoStatus(
                       error, absl::StrCat("cannot rename ", from, " to ", to));
    }
    TFD_RETURN_IF_ERROR(SyncFolder(FolderOf(to)));
    if (FolderOf(from) == FolderOf(to)) return absl::OkStatus();
    return SyncFolder(FolderOf(from));
  }
};

}  // namespace

FileSystem* LocalFileSystem() {
  static LocalFiles file_system;
  return &file_system;
}

}  // namespace tfd
