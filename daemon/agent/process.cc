#include "daemon/agent/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <map>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace tfd::agent {
namespace {

// Fields of /proc/PID/stat after the program's name, counted from 0 (proc(5)
// counts them from 3).
constexpr size_t kStateField = 0;
constexpr size_t kParentField = 1;
constexpr size_t kGroupField = 2;
constexpr size_t kStartField = 19;

// Files in /proc have no size: read to the end. Empty where it cannot be read.
std::string ReadProcFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return "";
  std::string contents;
  char buffer[4096];
  ssize_t got;
  while ((got = read(file, buffer, sizeof(buffer))) > 0) {
    contents.append(buffer, static_cast<size_t>(got));
  }
  close(file);
  return contents;
}

std::vector<pid_t> AllProcesses() {
  std::vector<pid_t> pids;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir("/proc"), closedir);
  if (folder == nullptr) return pids;
  while (const dirent* entry = readdir(folder.get())) {
    pid_t pid = 0;
    if (absl::ascii_isdigit(static_cast<unsigned char>(entry->d_name[0])) &&
        absl::SimpleAtoi(entry->d_name, &pid)) {
      pids.push_back(pid);
    }
  }
  return pids;
}

}  // namespace

std::optional<ProcessStat> ParseProcessStat(absl::string_view line) {
  const size_t open_at = line.find('(');
  const size_t close_at = line.rfind(')');
  if (open_at == absl::string_view::npos ||
      close_at == absl::string_view::npos || close_at < open_at ||
      close_at + 2 > line.size()) {
    return std::nullopt;
  }
  ProcessStat stat;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(line.substr(close_at + 2), absl::ByAnyChar(" \n"));
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(line.substr(0, open_at)),
                        &stat.pid) ||
      fields.size() <= kStartField || fields[kStateField].size() != 1 ||
      !absl::SimpleAtoi(fields[kParentField], &stat.parent) ||
      !absl::SimpleAtoi(fields[kGroupField], &stat.group) ||
      !absl::SimpleAtoi(fields[kStartField], &stat.start_ticks)) {
    return std::nullopt;
  }
  stat.state = fields[kStateField][0];
  return stat;
}

std::optional<ProcessStat> ReadProcessStat(pid_t pid) {
  return ParseProcessStat(ReadProcFile(absl::StrCat("/proc/", pid, "/stat")));
}

const std::string& BootId() {
  static const std::string* const id =
      new std::string(absl::StripAsciiWhitespace(
          ReadProcFile("/proc/sys/kernel/random/boot_id")));
  return *id;
}

std::optional<ProcessId> ProcessId::Of(pid_t pid) {
  const std::optional<ProcessStat> stat = ReadProcessStat(pid);
  if (!stat) return std::nullopt;
  return ProcessId{pid, stat->start_ticks, BootId()};
}

bool ProcessId::Alive() const {
  if (pid <= 0 || boot_id != BootId()) return false;
  const std::optional<ProcessStat> stat = ReadProcessStat(pid);
  return stat && stat->start_ticks == start_ticks && stat->state != 'Z';
}

int OpenProcess(const ProcessId& id) {
  if (id.pid <= 0) return -1;
  const int descriptor =
      static_cast<int>(syscall(SYS_pidfd_open, id.pid, /*flags=*/0));
  if (descriptor < 0) return -1;
  // Whoever has the pid now keeps it as far as this descriptor goes: if it is
  // the right one here, it stays so.
  if (id.Alive()) return descriptor;
  close(descriptor);
  return -1;
}

std::vector<pid_t> DescendantsOf(pid_t root) {
  // Not every kernel has /proc/PID/task/TID/children, so all are looked at.
  std::multimap<pid_t, pid_t> children;
  for (const pid_t pid : AllProcesses()) {
    if (const auto stat = ReadProcessStat(pid)) {
      children.emplace(stat->parent, pid);
    }
  }
  std::vector<pid_t> found;
  std::vector<pid_t> open_ends = {root};
  while (!open_ends.empty()) {
    const pid_t parent = open_ends.back();
    open_ends.pop_back();
    const auto [begin, end] = children.equal_range(parent);
    for (auto it = begin; it != end; ++it) {
      found.push_back(it->second);
      open_ends.push_back(it->second);
    }
  }
  return found;
}

std::vector<pid_t> FindByEnvironment(absl::string_view assignment) {
  std::vector<pid_t> found;
  for (const pid_t pid : AllProcesses()) {
    if (pid == getpid()) continue;
    const std::string environment =
        ReadProcFile(absl::StrCat("/proc/", pid, "/environ"));
    for (const absl::string_view entry : absl::StrSplit(environment, '\0')) {
      if (entry != assignment) continue;
      found.push_back(pid);
      break;
    }
  }
  return found;
}

}  // namespace tfd::agent
