// S3 and HDFS as file systems of tfd, by Arrow's: a library of its own, loaded
// by common/fs/remote_file_system.h.
//
// In S3 an object is visible once all of it is uploaded, under its name. In
// HDFS a file is written under another name and renamed. Folders are renamed in
// HDFS only. What a server answers wrongly is asked again, a few times, by
// Arrow's client; then errors name the URI.
#include "common/fs/remote_file_system.h"

#include <arrow/buffer.h>
#include <arrow/filesystem/filesystem.h>
#include <arrow/filesystem/s3fs.h>
#include <arrow/io/interfaces.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "common/random.h"
#include "common/status.h"
#include "data/arrow_status.h"
#include "data/remote_files.h"

namespace tfd::data {
namespace {

constexpr char kS3Scheme[] = "s3://";

std::string NameIn(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

class RemoteInput : public RandomAccessFile {
 public:
  RemoteInput(std::string uri, uint64_t size_bytes,
              std::shared_ptr<arrow::io::RandomAccessFile> file)
      : uri_(std::move(uri)), size_bytes_(size_bytes), file_(std::move(file)) {}

  uint64_t size_bytes() const override { return size_bytes_; }

  absl::Status Read(uint64_t offset, size_t size_bytes,
                    void* out) const override {
    if (offset > size_bytes_ || size_bytes > size_bytes_ - offset) {
      return absl::OutOfRangeError(
          absl::StrCat(uri_, ": ", size_bytes, " bytes at ", offset,
                       " are beyond its end, it has ", size_bytes_));
    }
    if (size_bytes == 0) return absl::OkStatus();
    const auto count = file_->ReadAt(static_cast<int64_t>(offset),
                                     static_cast<int64_t>(size_bytes), out);
    if (!count.ok()) return FromRemote(count.status(), uri_);
    if (static_cast<size_t>(*count) == size_bytes) return absl::OkStatus();
    return absl::DataLossError(
        absl::StrCat(uri_, ": only ", *count, " of ", size_bytes, " bytes at ",
                     offset, " were read: does somebody replace it?"));
  }

 private:
  const std::string uri_;
  const uint64_t size_bytes_;
  const std::shared_ptr<arrow::io::RandomAccessFile> file_;
};

class RemoteOutput : public WritableFile {
 public:
  // Written to `written`, which becomes `uri` by a rename where they differ.
  RemoteOutput(RemotePlace place, std::string uri, std::string written,
               std::shared_ptr<arrow::io::OutputStream> stream)
      : place_(std::move(place)),
        uri_(std::move(uri)),
        written_(std::move(written)),
        stream_(std::move(stream)) {}

  ~RemoteOutput() override {
    if (!stream_) return;
    // Close would make what is there visible.
    (void)stream_->Abort();
    stream_.reset();
    if (written_ != place_.path) (void)place_.file_system->DeleteFile(written_);
  }

  absl::Status Append(const void* data, size_t size_bytes) override {
    return FromRemote(stream_->Write(data, static_cast<int64_t>(size_bytes)),
                      uri_);
  }

  absl::Status Commit() override {
    TFD_RETURN_IF_ERROR(FromRemote(stream_->Close(), uri_));
    stream_.reset();
    if (written_ == place_.path) return absl::OkStatus();
    return FromRemote(place_.file_system->Move(written_, place_.path), uri_);
  }

 private:
  const RemotePlace place_;
  const std::string uri_;
  const std::string written_;
  std::shared_ptr<arrow::io::OutputStream> stream_;
};

class RemoteFileSystemImpl : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenForReading(
      const std::string& path) override {
    TFD_ASSIGN_OR_RETURN(const RemotePlace place, Find(path));
    auto info = place.file_system->GetFileInfo(place.path);
    if (!info.ok()) return FromRemote(info.status(), path);
    if (info->type() != arrow::fs::FileType::File) return NoSuchFile(path);
    auto file = place.file_system->OpenInputFile(*info);
    if (!file.ok()) return FromRemote(file.status(), path);
    auto size = (*file)->GetSize();
    if (!size.ok()) return FromRemote(size.status(), path);
    return std::make_unique<RemoteInput>(path, static_cast<uint64_t>(*size),
                                         *std::move(file));
  }

  absl::StatusOr<std::unique_ptr<WritableFile>> OpenForWriting(
      const std::string& path) override {
    TFD_ASSIGN_OR_RETURN(RemotePlace place, Find(path));
    std::string written = place.path;
    if (!IsS3(path)) absl::StrAppend(&written, ".", RandomId(), ".tmp");
    auto stream = place.file_system->OpenOutputStream(written);
    if (!stream.ok()) return FromRemote(stream.status(), path);
    return std::make_unique<RemoteOutput>(
        std::move(place), path, std::move(written), *std::move(stream));
  }

  absl::StatusOr<FileInfo> Stat(const std::string& path) override {
    TFD_ASSIGN_OR_RETURN(const RemotePlace place, Find(path));
    auto info = place.file_system->GetFileInfo(place.path);
    if (!info.ok()) return FromRemote(info.status(), path);
    if (info->type() == arrow::fs::FileType::NotFound) return NoSuchFile(path);
    return InfoOf(*info);
  }

  absl::StatusOr<std::vector<FileInfo>> List(const std::string& path) override {
    TFD_ASSIGN_OR_RETURN(const RemotePlace place, Find(path));
    arrow::fs::FileSelector selector;
    selector.base_dir = place.path;
    selector.allow_not_found = true;
    auto entries = place.file_system->GetFileInfo(selector);
    if (!entries.ok()) return FromRemote(entries.status(), path);
    if (entries->empty()) TFD_RETURN_IF_ERROR(Stat(path).status());
    std::vector<FileInfo> infos;
    for (const arrow::fs::FileInfo& entry : *entries) {
      infos.push_back(InfoOf(entry));
    }
    std::sort(
        infos.begin(), infos.end(),
        [](const FileInfo& a, const FileInfo& b) { return a.name < b.name; });
    return infos;
  }

  absl::Status CreateFolder(const std::string& path) override {
    TFD_ASSIGN_OR_RETURN(const RemotePlace place, Find(path));
    return FromRemote(place.file_system->CreateDir(place.path), path);
  }

  absl::Status Delete(const std::string& path) override {
    TFD_ASSIGN_OR_RETURN(const RemotePlace place, Find(path));
    auto info = place.file_system->GetFileInfo(place.path);
    if (!info.ok()) return FromRemote(info.status(), path);
    switch (info->type()) {
      case arrow::fs::FileType::NotFound:
        return absl::OkStatus();
      case arrow::fs::FileType::Directory:
        return FromRemote(place.file_system->DeleteDir(place.path), path);
      default:
        return FromRemote(place.file_system->DeleteFile(place.path), path);
    }
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    TFD_ASSIGN_OR_RETURN(const RemotePlace place, Find(from));
    TFD_ASSIGN_OR_RETURN(const RemotePlace target, Find(to));
    if (place.file_system != target.file_system) {
      return absl::InvalidArgumentError(absl::StrCat(
          from, " cannot be renamed to ", to, ": that is somewhere else"));
    }
    return FromRemote(place.file_system->Move(place.path, target.path), from);
  }

  bool RenamesFolders(const std::string& path) const override {
    return !IsS3(path);
  }

 private:
  static bool IsS3(const std::string& path) {
    return absl::StartsWith(path, kS3Scheme);
  }

  static absl::Status NoSuchFile(const std::string& path) {
    return absl::NotFoundError(
        absl::StrCat(path, ": there is no such file or folder"));
  }

  static FileInfo InfoOf(const arrow::fs::FileInfo& info) {
    FileInfo made;
    made.name = NameIn(info.path());
    made.is_folder = info.type() == arrow::fs::FileType::Directory;
    if (!made.is_folder) {
      made.size_bytes =
          static_cast<uint64_t>(std::max<int64_t>(0, info.size()));
    }
    return made;
  }

  // Clients are kept, one for each bucket or name node: they hold connections,
  // and know the bucket's region.
  absl::StatusOr<RemotePlace> Find(const std::string& path) {
    const size_t scheme_end = path.find("://") + 3;
    const size_t slash = path.find('/', scheme_end);
    const std::string root = path.substr(0, slash);
    const std::string below =
        slash == std::string::npos ? "/" : path.substr(slash);
    RemotePlace place;
    {
      absl::MutexLock lock(&mutex_);
      place = roots_[root];
    }
    if (!place.file_system) {
      TFD_ASSIGN_OR_RETURN(place, FindRemote(root + "/"));
      absl::MutexLock lock(&mutex_);
      roots_[root] = place;
    }
    // S3's paths begin with the bucket.
    place.path =
        IsS3(path)
            ? std::string(absl::StripSuffix(path.substr(scheme_end), "/"))
            : below;
    return place;
  }

  absl::Mutex mutex_;
  std::map<std::string, RemotePlace> roots_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace
}  // namespace tfd::data

extern "C" tfd::FileSystem* tfd_remote_file_system() {
  return new tfd::data::RemoteFileSystemImpl();
}

extern "C" void tfd_end_remote_file_system() {
  // Nobody is left to tell.
  (void)arrow::fs::EnsureS3Finalized();
}
