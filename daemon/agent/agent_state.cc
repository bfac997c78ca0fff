#include "daemon/agent/agent_state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/fs/file_system.h"
#include "common/net/endpoint.h"
#include "daemon/agent/task_folder.h"
#include "spdlog/spdlog.h"

namespace tfd::agent {
namespace {

// One that cannot be understood is as good as none: nothing but convenience
// is in it.
AgentMemory ReadMemory(const std::string& path) {
  AgentMemory memory;
  const absl::StatusOr<std::string> text = ReadFile(*LocalFileSystem(), path);
  if (!text.ok()) return memory;
  const auto value =
      nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const auto member = [&](const char* name) -> std::string {
    if (!value.is_object() || !value.contains(name)) return "";
    const auto& found = value.at(name);
    return found.is_string() ? found.get<std::string>() : "";
  };
  memory.cluster_id = member("cluster_id");
  memory.socket_folder = member("socket_folder");
  return memory;
}

}  // namespace

absl::StatusOr<AgentState> AgentState::Open(const std::string& folder) {
  std::error_code error;
  if (std::filesystem::create_directories(folder, error)) {
    chmod(folder.c_str(), kFolderMode);
  }
  AgentState state;
  state.folder_ = folder;
  const std::string path = absl::StrCat(folder, "/agent.lock");
  state.lock_ = UniqueDescriptor(
      open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode));
  if (!state.lock_.valid()) {
    return absl::ErrnoToStatus(
        errno, absl::StrCat("cannot use the state folder: opening ", path));
  }
  if (flock(state.lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    char holder[512] = "";
    (void)!pread(state.lock_.get(), holder, sizeof(holder) - 1, 0);
    return absl::FailedPreconditionError(absl::StrCat(
        "the state folder ", folder, " is in use by another tfd-agent (",
        absl::StripAsciiWhitespace(holder),
        "); stop that one, or give this one another --state-dir"));
  }
  const std::string holder =
      absl::StrCat("pid ", getpid(), " on ", net::HostName(), "\n");
  if (ftruncate(state.lock_.get(), 0) != 0 ||
      pwrite(state.lock_.get(), holder.data(), holder.size(), 0) !=
          static_cast<ssize_t>(holder.size())) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
  }
  state.memory_ = ReadMemory(absl::StrCat(folder, "/agent.json"));
  return state;
}

absl::Status AgentState::Remember(AgentMemory memory) {
  memory_ = std::move(memory);
  const nlohmann::json value = {{"cluster_id", memory_.cluster_id},
                                {"socket_folder", memory_.socket_folder}};
  return WriteSmallFile(
      absl::StrCat(folder_, "/agent.json"),
      value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) +
          "\n",
      kFileMode);
}

}  // namespace tfd::agent
