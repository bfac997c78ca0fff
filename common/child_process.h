// Starting another program of ours and waiting for it.
#ifndef TFD_COMMON_CHILD_PROCESS_H_
#define TFD_COMMON_CHILD_PROCESS_H_

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tfd {

struct ChildOptions {
  // argv; argv[0] is a path.
  std::vector<std::string> command;
  // Exactly this environment, or the parent's where absent.
  std::optional<std::map<std::string, std::string>> environment;
  // Working folder; empty: the parent's.
  std::string folder;
  // Files that stdout and stderr are appended to; empty: the parent's.
  std::string stdout_path;
  std::string stderr_path;
  // Gets SIGTERM when the parent dies (PR_SET_PDEATHSIG).
  bool dies_with_parent = false;
  // A session of its own: signals of the terminal do not reach it, and its
  // standard input is empty.
  bool new_session = false;
};

struct RunResult;

struct ChildExit {
  // The exit code, or -1 where a signal ended it.
  int code = -1;
  int signal = 0;
  bool ok() const { return code == 0; }
  // "exit code 3", "killed by SIGKILL".
  std::string ToString() const;
};

// One child. It gets no descriptors but 0, 1 and 2 (their parent's where the
// options say nothing else), blocks no signal and ignores none. Not copied; the
// destructor kills (SIGKILL) and reaps a child that was not waited for.
// Thread-compatible.
class ChildProcess {
 public:
  // Returns once the program runs; that it could not be executed is an error
  // that names it and why.
  static absl::StatusOr<ChildProcess> Start(const ChildOptions& options);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  absl::Status Signal(int signal_number);
  // How it ended; DeadlineExceeded where it has not by then.
  absl::StatusOr<ChildExit> Wait(absl::Duration timeout);
  // SIGTERM, and SIGKILL after `grace`.
  ChildExit Stop(absl::Duration grace);
  // Lets the child go on by itself: it is neither killed nor waited for any
  // more. Gives its pid.
  pid_t Release();

 private:
  friend absl::StatusOr<RunResult> RunToEnd(
      const std::vector<std::string>& command, absl::string_view standard_input,
      absl::Duration timeout);

  ChildProcess(pid_t pid, int pid_descriptor);
  void Reset();

  pid_t pid_ = -1;
  int pid_descriptor_ = -1;  // pidfd: readable when it ended
  std::optional<ChildExit> exit_;
};

// The folder this program's file is in: the other programs are its siblings.
absl::StatusOr<std::string> ProgramFolder();

struct RunResult {
  ChildExit exit;
  std::string output;
  std::string errors;
};

// Runs a program to its end, its standard output and error captured (at most
// 16 MiB each, else it is killed: ResourceExhausted); for `tfd-worker check`
// and such. DeadlineExceeded, and killed, after `timeout`. It dies with this
// process.
absl::StatusOr<RunResult> RunToEnd(const std::vector<std::string>& command,
                                   absl::string_view standard_input,
                                   absl::Duration timeout);

}  // namespace tfd

#endif  // TFD_COMMON_CHILD_PROCESS_H_
