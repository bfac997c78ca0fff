// The files that a dataset's path stands for.
#ifndef TFD_DATA_FILE_PATTERN_H_
#define TFD_DATA_FILE_PATTERN_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tfd::data {

// The path itself; or, where its last part has a *, the files of that folder
// that match, in the order of names. NotFound where there are none. Whether a
// path without * is there is not looked at.
absl::StatusOr<std::vector<std::string>> FilesOf(const std::string& pattern);

}  // namespace tfd::data

#endif  // TFD_DATA_FILE_PATTERN_H_
