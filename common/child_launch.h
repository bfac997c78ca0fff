// fork and exec, for child_process.h: what one has to get right between them.
#ifndef TFD_COMMON_CHILD_LAUNCH_H_
#define TFD_COMMON_CHILD_LAUNCH_H_

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/unique_descriptor.h"

namespace tfd::internal {

struct LaunchPlan {
  std::vector<std::string> command;
  std::optional<std::map<std::string, std::string>> environment;
  std::string folder;
  // What becomes the child's 0, 1 and 2; without one it has the parent's.
  UniqueDescriptor standard[3];
  bool dies_with_parent = false;
  bool new_session = false;
};

struct Launched {
  pid_t pid;
  UniqueDescriptor pid_descriptor;
};

// Returns once the program itself runs. The child has no descriptors but 0, 1
// and 2, blocks no signal and handles all of them by default. An error names
// the program and what the system said.
absl::StatusOr<Launched> Launch(const LaunchPlan& plan);

// A copy of `descriptor` (which it closes) that is none of 0, 1 and 2, so that
// it is not overwritten when the child's own are put there.
UniqueDescriptor AboveStandard(UniqueDescriptor descriptor);

}  // namespace tfd::internal

#endif  // TFD_COMMON_CHILD_LAUNCH_H_
