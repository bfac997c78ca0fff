// A folder for one test, removed with all that is in it at the end.
#ifndef TFD_COMMON_TESTING_TEMP_FOLDER_H_
#define TFD_COMMON_TESTING_TEMP_FOLDER_H_

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "absl/strings/string_view.h"

namespace tfd::testing {

// Short on purpose, because the path of a Unix socket holds 107 characters.
// Not copied.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "tfd-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) {
      std::perror(pattern.c_str());
      std::abort();
    }
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  // The path of `name` in it.
  std::string operator/(absl::string_view name) const {
    return path_ + "/" + std::string(name);
  }

 private:
  std::string path_;
};

}  // namespace tfd::testing

#endif  // TFD_COMMON_TESTING_TEMP_FOLDER_H_
