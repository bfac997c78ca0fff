// File systems that a library of data/ brings, which a process loads once a URI
// asks for it: so that most processes stay without Arrow.
#ifndef TFD_COMMON_FS_REMOTE_FILE_SYSTEM_H_
#define TFD_COMMON_FS_REMOTE_FILE_SYSTEM_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/fs/file_system.h"

namespace tfd {

// "s3://" and "hdfs://". Who may read and write there, and where S3 is, the
// environment of the process says, as for every client of it.
bool IsRemoteUri(absl::string_view uri);

// The one file system of all remote URIs, whose paths are the URIs themselves,
// without an ending slash. FailedPrecondition where its library is not there.
absl::StatusOr<FileSystem*> RemoteFileSystem();

// Stands in main, around all that may use it: what S3's client has started ends
// here, because it cannot while the process's static objects are destroyed.
class RemoteFileSystemEnd {
 public:
  RemoteFileSystemEnd() = default;
  ~RemoteFileSystemEnd();
  RemoteFileSystemEnd(const RemoteFileSystemEnd&) = delete;
  RemoteFileSystemEnd& operator=(const RemoteFileSystemEnd&) = delete;
};

// What the library has, in C's form: FileSystem* of one that lives as long as
// the process, and void of its end, after which it is not used.
inline constexpr char kRemoteLibrary[] = "libtfd_remote.so";
inline constexpr char kRemoteFunction[] = "tfd_remote_file_system";
inline constexpr char kRemoteEndFunction[] = "tfd_end_remote_file_system";

}  // namespace tfd

#endif  // TFD_COMMON_FS_REMOTE_FILE_SYSTEM_H_
