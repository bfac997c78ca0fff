// Reads the logs that a shim writes (log_file.h), while it writes them.
#ifndef TFD_DAEMON_AGENT_LOG_READER_H_
#define TFD_DAEMON_AGENT_LOG_READER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/unique_descriptor.h"
#include "daemon/agent/task_key.h"

namespace tfd::agent {

// Opens LOGS/JOB/ROLE-N without following any symbolic link below `root`: a
// task could have put one there. NotFound where the task has no logs.
absl::StatusOr<UniqueDescriptor> OpenLogFolder(const std::string& root,
                                               const TaskKey& key);

// One log from its oldest file to its newest and on as it grows. A reader that
// is slow holds the files it has not read yet open, so it misses nothing that
// was there when it began to wait; should whole files come and go between two
// reads, a line in the text says so. Thread-compatible.
class LogReader {
 public:
  // `folder` is open as long as the reader is. `name` is stdout.log or
  // stderr.log. No log is an empty one.
  LogReader(int folder, std::string name);

  // Goes to the last `lines` lines, and not further back than `max_bytes`.
  // Before the first Read.
  void SeekToTail(int lines, uint64_t max_bytes = UINT64_MAX);

  // Whole lines, at most `max_bytes`; pieces where one line is longer. Empty
  // when there is no more now. With `finished`, once nobody writes it any
  // more, also a last line without its end.
  std::string Read(size_t max_bytes, bool finished);

 private:
  struct File {
    UniqueDescriptor descriptor;
    uint64_t device = 0;
    uint64_t inode = 0;
    uint64_t read_bytes = 0;
  };

  // Every file there is, oldest first.
  std::deque<File> List() const;
  std::deque<File> ListOnce() const;
  bool IsNewest(const File& file) const;
  // Appends files that came after the newest one known; true if there are.
  bool FindNewer();
  // Reads on into carry_; the number of bytes.
  size_t Fill(size_t max_bytes);
  std::string Take(size_t bytes);

  const int folder_;
  const std::string name_;
  // The file being read, then those after it.
  std::deque<File> files_;
  // Read and not given out.
  std::string carry_;
};

// The last lines of a log as valid UTF-8, each of bounded length, without
// their line ends; for reports.
std::vector<std::string> LastLines(int folder, const std::string& name,
                                   int lines);

// `text` with each byte that is not part of valid UTF-8 replaced by '?', and
// control characters too but for tabs and line ends.
std::string ToValidUtf8(absl::string_view text);

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_LOG_READER_H_
