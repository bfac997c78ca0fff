#include "common/fs/remote_file_system.h"

#include <dlfcn.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tfd {
namespace {

// Where it is, seen from the folder of the program: in a build, and installed.
constexpr const char* kLibraryFolders[] = {"../lib", "."};

// Once it is loaded.
std::atomic<void (*)()> end_function{nullptr};

absl::StatusOr<FileSystem*> Load() {
  std::error_code error;
  const std::filesystem::path program =
      std::filesystem::read_symlink("/proc/self/exe", error);
  std::string problems;
  for (const char* folder : kLibraryFolders) {
    const std::filesystem::path path =
        (program.parent_path() / folder / kRemoteLibrary).lexically_normal();
    // Never closed: its file system lives as long as the process.
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      absl::StrAppend(&problems, problems.empty() ? "" : "; ", dlerror());
      continue;
    }
    const auto make =
        reinterpret_cast<FileSystem* (*)()>(dlsym(library, kRemoteFunction));
    const auto end =
        reinterpret_cast<void (*)()>(dlsym(library, kRemoteEndFunction));
    if (make != nullptr && end != nullptr) {
      end_function = end;
      return make();
    }
    absl::StrAppend(&problems, problems.empty() ? "" : "; ", path.string(),
                    " is of another version");
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "s3:// and hdfs:// need ", kRemoteLibrary,
      ", which is built with the folder data and stands in ../lib beside the "
      "programs: ",
      problems));
}

}  // namespace

RemoteFileSystemEnd::~RemoteFileSystemEnd() {
  if (void (*const end)() = end_function) end();
}

bool IsRemoteUri(absl::string_view uri) {
  return absl::StartsWith(uri, "s3://") || absl::StartsWith(uri, "hdfs://");
}

absl::StatusOr<FileSystem*> RemoteFileSystem() {
  static const absl::StatusOr<FileSystem*>* const loaded =
      new absl::StatusOr<FileSystem*>(Load());
  return *loaded;
}

}  // namespace tfd
