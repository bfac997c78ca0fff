// One log of a task, rotated by size: NAME, NAME.1 (older), NAME.2 …
#ifndef TFD_DAEMON_AGENT_LOG_FILE_H_
#define TFD_DAEMON_AGENT_LOG_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tfd::agent {

// Appends bytes as they come, whatever they are. Files end at a line's end
// where there is one; all files in order are exactly what was written, but for
// the oldest, which are deleted. What cannot be written (a full disk) is
// dropped and counted, and a line says so once writing works again: a task is
// never stopped by its log. Thread-compatible.
class LogFile {
 public:
  // At most `files` files of `max_bytes` each. Opens nothing.
  LogFile(std::string path, uint64_t max_bytes, int files);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // Goes on at the end of a file that is there.
  absl::Status Open();
  void Write(absl::string_view data);

 private:
  // The number of bytes of `data` that belong into the current file.
  size_t Share(absl::string_view data) const;
  bool Rotate();
  void Append(absl::string_view data);
  // False, with errno, where not all of it could be written.
  bool WriteAll(absl::string_view data);

  const std::string path_;
  const uint64_t max_bytes_;
  const int files_;
  int descriptor_ = -1;
  uint64_t size_bytes_ = 0;
  bool at_line_start_ = true;
  uint64_t lost_bytes_ = 0;
  int lost_errno_ = 0;
};

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_LOG_FILE_H_
