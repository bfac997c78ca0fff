#include "data/file_pattern.h"

#include <fnmatch.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/fs/file_system.h"
#include "common/fs/remote_file_system.h"
#include "common/status.h"
#include "data/remote_files.h"

namespace tfd::data {

namespace {

// The names of the files in a folder, in their order.
absl::StatusOr<std::vector<std::string>> ListFiles(const std::string& folder) {
  if (IsRemoteUri(folder)) return ListRemote(folder);
  TFD_ASSIGN_OR_RETURN(Location location, ResolveUri(folder));
  TFD_ASSIGN_OR_RETURN(std::vector<FileInfo> entries,
                       location.file_system->List(location.path));
  std::vector<std::string> names;
  for (const FileInfo& entry : entries) {
    if (!entry.is_folder) names.push_back(entry.name);
  }
  return names;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FilesOf(const std::string& pattern) {
  // What a URI says after ? is about all of the files.
  const size_t query = IsRemoteUri(pattern) ? pattern.find('?') : pattern.npos;
  const std::string options =
      query == pattern.npos ? "" : pattern.substr(query);
  const std::string path = pattern.substr(0, query);
  const size_t slash = path.find_last_of('/');
  const std::string folder =
      slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string name =
      slash == std::string::npos ? path : path.substr(slash + 1);
  if (folder.find('*') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(pattern, ": * may stand only in the last part of a path"));
  }
  if (name.find('*') == std::string::npos) {
    return std::vector<std::string>{pattern};
  }
  TFD_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                       ListFiles(absl::StrCat(folder, options)));
  std::vector<std::string> files;
  for (const std::string& entry : names) {
    if (fnmatch(name.c_str(), entry.c_str(), FNM_PERIOD) == 0) {
      files.push_back(absl::StrCat(JoinPath(folder, entry), options));
    }
  }
  if (files.empty()) {
    return absl::NotFoundError(absl::StrCat(pattern, ": none of the ",
                                            names.size(), " files in ", folder,
                                            " matches ", name));
  }
  return files;
}

}  // namespace tfd::data
