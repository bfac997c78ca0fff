// "did you mean …?": the known name that is closest to one that is unknown.
#ifndef TFD_COMMON_NEAREST_NAME_H_
#define TFD_COMMON_NEAREST_NAME_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tfd {

// The number of single characters to insert, delete, replace or swap with
// their neighbour to make `a` into `b` (optimal string alignment).
int EditDistance(absl::string_view a, absl::string_view b);

// The one of `known` closest to `name`, if it is close enough to be a slip of
// the pen (a third of its length, upper and lower case being equal); else
// empty. Of equally close ones the first.
std::string NearestName(absl::string_view name,
                        const std::vector<std::string>& known);

}  // namespace tfd

#endif  // TFD_COMMON_NEAREST_NAME_H_
