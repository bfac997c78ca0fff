// Files in S3 and HDFS, by Arrow's file systems. Who may read them, and where
// S3 is, the environment says as usual (AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL; ARROW_LIBHDFS_DIR), or
// the URI (s3://bucket/key?region=eu-west-1&endpoint_override=HOST:PORT).
// Thread-safe. What a server answers wrongly is asked again, a few times, by
// Arrow; then errors name the URI.
#ifndef TFD_DATA_REMOTE_FILES_H_
#define TFD_DATA_REMOTE_FILES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace arrow {
class Status;
namespace fs {
class FileSystem;
}
namespace io {
class RandomAccessFile;
}
}  // namespace arrow

namespace tfd::data {

// Stands in main, around all that may read them: what S3 has started ends here,
// because it cannot while the process's static objects are destroyed.
class RemoteFiles {
 public:
  RemoteFiles() = default;
  ~RemoteFiles();
  RemoteFiles(const RemoteFiles&) = delete;
  RemoteFiles& operator=(const RemoteFiles&) = delete;
};

struct RemotePlace {
  std::shared_ptr<arrow::fs::FileSystem> file_system;
  std::string path;
};

// Where a URI points to.
absl::StatusOr<RemotePlace> FindRemote(const std::string& uri);

// Arrow's error with the URI, and with what is needed.
absl::Status FromRemote(const arrow::Status& status, const std::string& uri);

absl::StatusOr<std::shared_ptr<arrow::io::RandomAccessFile>> OpenRemote(
    const std::string& uri);

// The names of the files in a folder, in their order.
absl::StatusOr<std::vector<std::string>> ListRemote(const std::string& folder);

}  // namespace tfd::data

#endif  // TFD_DATA_REMOTE_FILES_H_
