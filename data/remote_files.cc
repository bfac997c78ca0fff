#include "data/remote_files.h"

#include <arrow/filesystem/filesystem.h>
#include <arrow/filesystem/s3fs.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "data/arrow_status.h"

namespace tfd::data {
namespace {

constexpr char kS3Scheme[] = "s3://";
constexpr char kHdfsScheme[] = "hdfs://";

}  // namespace

absl::Status FromRemote(const arrow::Status& status, const std::string& uri) {
  std::string hint;
  if (absl::StartsWith(uri, kHdfsScheme) && status.IsIOError()) {
    hint =
        " (HDFS needs Hadoop's libhdfs and a JVM: set HADOOP_HOME, JAVA_HOME "
        "and CLASSPATH, or ARROW_LIBHDFS_DIR)";
  }
  if (status.ok()) return absl::OkStatus();
  return Annotate(FromArrow(status), absl::StrCat(uri, hint));
}

absl::StatusOr<RemotePlace> FindRemote(const std::string& uri) {
  if (absl::StartsWith(uri, kS3Scheme)) {
    const arrow::Status started = arrow::fs::EnsureS3Initialized();
    if (!started.ok()) return FromRemote(started, uri);
  }
  RemotePlace place;
  auto file_system = arrow::fs::FileSystemFromUri(uri, &place.path);
  if (!file_system.ok()) return FromRemote(file_system.status(), uri);
  place.file_system = *std::move(file_system);
  return place;
}

RemoteFiles::~RemoteFiles() {
  // Nobody is left to tell.
  (void)arrow::fs::EnsureS3Finalized();
}

absl::StatusOr<std::shared_ptr<arrow::io::RandomAccessFile>> OpenRemote(
    const std::string& uri) {
  TFD_ASSIGN_OR_RETURN(const RemotePlace place, FindRemote(uri));
  auto info = place.file_system->GetFileInfo(place.path);
  if (!info.ok()) return FromRemote(info.status(), uri);
  if (info->type() != arrow::fs::FileType::File) {
    return absl::NotFoundError(absl::StrCat(uri, ": there is no such file"));
  }
  auto file = place.file_system->OpenInputFile(*info);
  if (!file.ok()) return FromRemote(file.status(), uri);
  return *std::move(file);
}

absl::StatusOr<std::vector<std::string>> ListRemote(const std::string& folder) {
  TFD_ASSIGN_OR_RETURN(const RemotePlace place, FindRemote(folder));
  arrow::fs::FileSelector selector;
  selector.base_dir = place.path;
  auto entries = place.file_system->GetFileInfo(selector);
  if (!entries.ok()) return FromRemote(entries.status(), folder);
  std::vector<std::string> names;
  for (const arrow::fs::FileInfo& entry : *entries) {
    if (entry.IsFile()) names.push_back(entry.base_name());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tfd::data
