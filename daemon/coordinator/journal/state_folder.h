// The folder that a coordinator keeps its journal in, held by one process at a
// time.
#ifndef TFD_DAEMON_COORDINATOR_JOURNAL_STATE_FOLDER_H_
#define TFD_DAEMON_COORDINATOR_JOURNAL_STATE_FOLDER_H_

#include <string>

#include "absl/status/statusor.h"

namespace tfd::coordinator {

// Holds the folder until it is destroyed or the process ends, however it does
// (flock). Moved, not copied.
class StateFolder {
 public:
  // Creates the folder where it is not there (mode 0700: it holds tokens).
  // FailedPrecondition naming pid and host of the process that has it.
  static absl::StatusOr<StateFolder> Open(const std::string& path);
  StateFolder(StateFolder&& other) noexcept;
  StateFolder& operator=(StateFolder&& other) noexcept;
  ~StateFolder();

  const std::string& path() const { return path_; }
  std::string journal_path() const { return path_ + "/journal.db"; }

 private:
  StateFolder(std::string path, int descriptor);

  std::string path_;
  int descriptor_ = -1;
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_JOURNAL_STATE_FOLDER_H_
