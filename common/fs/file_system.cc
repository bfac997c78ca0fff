#include "common/fs/file_system.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/fs/remote_file_system.h"
#include "common/status.h"

namespace tfd {
namespace {

constexpr absl::string_view kSchemeEnd = "://";
constexpr absl::string_view kFileScheme = "file";

// "s3" of "s3://bucket/x", empty where there is no scheme.
absl::string_view SchemeOf(absl::string_view uri) {
  const size_t end = uri.find(kSchemeEnd);
  if (end == absl::string_view::npos) return "";
  const absl::string_view scheme = uri.substr(0, end);
  for (char c : scheme) {
    if (!absl::ascii_isalnum(c) && c != '+' && c != '-' && c != '.') return "";
  }
  return scheme;
}

}  // namespace

absl::StatusOr<Location> ResolveUri(absl::string_view uri) {
  const absl::string_view scheme = SchemeOf(uri);
  absl::string_view path = uri;
  if (absl::EqualsIgnoreCase(scheme, kFileScheme)) {
    path.remove_prefix(scheme.size() + kSchemeEnd.size());
    if (!absl::StartsWith(path, "/")) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", uri,
                       "\" names no absolute path; write file:///FOLDER "
                       "(three slashes) or a plain path"));
    }
  } else if (IsRemoteUri(uri)) {
    if (absl::StrContains(uri, "?")) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", uri,
          "\": what stands after ? is for data that is read; where S3 is, for "
          "storage, say in the environment (AWS_ENDPOINT_URL, AWS_REGION)"));
    }
    TFD_ASSIGN_OR_RETURN(FileSystem* const remote, RemoteFileSystem());
    return Location{remote, std::string(absl::StripSuffix(uri, "/"))};
  } else if (!scheme.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", uri, "\": there is no file system for ", scheme, kSchemeEnd,
        "; there are s3://, hdfs://, and paths of this machine (or "
        "file://PATH)"));
  }
  if (path.empty()) {
    return absl::InvalidArgumentError("an empty path names no file or folder");
  }
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(
      std::filesystem::path(std::string(path)), error);
  if (error) {
    return Annotate(
        ErrnoStatus(error.value(), "cannot find the working folder"), uri);
  }
  std::string normal = absolute.lexically_normal().string();
  if (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return Location{LocalFileSystem(), std::move(normal)};
}

std::string JoinPath(absl::string_view folder, absl::string_view name) {
  if (folder.empty()) return std::string(name);
  if (absl::EndsWith(folder, "/")) return absl::StrCat(folder, name);
  return absl::StrCat(folder, "/", name);
}

absl::StatusOr<std::string> ReadFile(FileSystem& file_system,
                                     const std::string& path) {
  TFD_ASSIGN_OR_RETURN(auto file, file_system.OpenForReading(path));
  std::string contents(file->size_bytes(), '\0');
  TFD_RETURN_IF_ERROR(file->Read(0, contents.size(), contents.data()));
  return contents;
}

absl::Status WriteFileAtomically(FileSystem& file_system,
                                 const std::string& path,
                                 absl::string_view contents) {
  TFD_ASSIGN_OR_RETURN(auto file, file_system.OpenForWriting(path));
  TFD_RETURN_IF_ERROR(file->Append(contents.data(), contents.size()));
  return file->Commit();
}

}  // namespace tfd
