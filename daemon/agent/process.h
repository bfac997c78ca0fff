// Processes by what /proc says of them. A pid alone names nobody for long: with
// the time its process started (and the boot) it does.
#ifndef TFD_DAEMON_AGENT_PROCESS_H_
#define TFD_DAEMON_AGENT_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tfd::agent {

struct ProcessStat {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t group = 0;
  // R, S, D, T, Z …
  char state = '?';
  // When it started, in clock ticks since the boot.
  uint64_t start_ticks = 0;
};

// One line of /proc/PID/stat; absent where it is none. The program's name in
// it may hold spaces and parentheses.
std::optional<ProcessStat> ParseProcessStat(absl::string_view line);

// Absent where there is no such process.
std::optional<ProcessStat> ReadProcessStat(pid_t pid);

// Changes with every boot of the machine. Read once.
const std::string& BootId();

// One process and no other, also across reuse of its pid and a reboot.
struct ProcessId {
  pid_t pid = 0;
  uint64_t start_ticks = 0;
  std::string boot_id;

  // The process that has `pid` now; absent where there is none.
  static std::optional<ProcessId> Of(pid_t pid);
  // It is there and not a zombie.
  bool Alive() const;
};

// A descriptor that is readable once the process has ended (pidfd), opened
// without mistaking another process for it. -1 where it is gone.
int OpenProcess(const ProcessId& id);

// Every process below `root`, zombies too, `root` itself not.
std::vector<pid_t> DescendantsOf(pid_t root);

// Every process of this user whose environment at its start held exactly
// `assignment` ("NAME=value"), this one not.
std::vector<pid_t> FindByEnvironment(absl::string_view assignment);

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_PROCESS_H_
