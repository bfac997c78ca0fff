#include "daemon/agent/launcher.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/child_process.h"
#include "common/crc32c.h"
#include "common/net/endpoint.h"
#include "common/status.h"
#include "common/task/environment.h"
#include "daemon/agent/process.h"
#include "daemon/agent/task_folder.h"

extern char** environ;

namespace tfd::agent {
namespace {

constexpr mode_t kSecretMode = 0400;
// A socket's path is SOCKETS/JOB/NAME and has 107 bytes in all.
constexpr size_t kMaxSocketFolderName = 24;
constexpr size_t kChecksumDigits = 8;
constexpr char kDefaultPath[] =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

absl::Status MakeFolders(const std::string& path) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(path, error);
  if (error) {
    return absl::ErrnoToStatus(error.value(),
                               absl::StrCat("cannot create the folder ", path));
  }
  if (made) chmod(path.c_str(), kFolderMode);
  return absl::OkStatus();
}

absl::Status DeleteTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(error.value(),
                             absl::StrCat("cannot delete ", path));
}

// posix_spawn's two option objects, freed at the end.
struct SpawnOptions {
  SpawnOptions() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnOptions() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnOptions(const SpawnOptions&) = delete;
  SpawnOptions& operator=(const SpawnOptions&) = delete;

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

// Signals wait until the shim has set itself up, so that none is lost.
void FillSpawnOptions(SpawnOptions& options, int claimed_write_end,
                      const std::string& shim_log) {
  posix_spawn_file_actions_addopen(&options.files, STDIN_FILENO, "/dev/null",
                                   O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&options.files, claimed_write_end,
                                   STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&options.files, STDERR_FILENO,
                                   shim_log.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, kFileMode);
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigmask(&options.attributes, &all);
  posix_spawnattr_setsigdefault(&options.attributes, &all);
  posix_spawnattr_setflags(&options.attributes, POSIX_SPAWN_SETSID |
                                                    POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
}

}  // namespace

absl::StatusOr<ProgramTable> SiblingPrograms() {
  absl::StatusOr<std::string> folder = ProgramFolder();
  if (!folder.ok()) return folder.status();
  return ProgramTable{
      {v1::TaskLaunch::PS, {*folder + "/tfd-ps"}},
      {v1::TaskLaunch::WORKER, {*folder + "/tfd-worker"}},
      {v1::TaskLaunch::FEED, {*folder + "/tfd-data", "feed"}},
  };
}

Launcher::Launcher(LauncherOptions options) : options_(std::move(options)) {}

std::string Launcher::TasksFolder() const {
  return options_.state_folder + "/tasks";
}

std::string Launcher::TaskFolder(const TaskKey& key) const {
  return absl::StrCat(TasksFolder(), "/", key.job, "/", key.StateFolder());
}

std::string Launcher::LogFolder(const TaskKey& key) const {
  return absl::StrCat(options_.log_folder, "/", key.job, "/", key.LogFolder());
}

std::string Launcher::SpoolFolder(absl::string_view job) const {
  return absl::StrCat(options_.spool_folder, "/", job);
}

std::string Launcher::SocketFolder(absl::string_view job) const {
  std::string name(job);
  if (name.size() > kMaxSocketFolderName) {
    name = absl::StrFormat(
        "%s-%08x", job.substr(0, kMaxSocketFolderName - 1 - kChecksumDigits),
        Crc32c({job.data(), job.size()}));
  }
  return absl::StrCat(options_.socket_folder, "/", name);
}

absl::StatusOr<StartedShim> Launcher::Start(const v1::TaskLaunch& launch,
                                            const TaskKey& key,
                                            const std::string& cluster) const {
  if (absl::Status status = WriteFiles(launch, key, cluster); !status.ok()) {
    return status;
  }
  return StartShim(TaskFolder(key));
}

absl::Status Launcher::WriteFiles(const v1::TaskLaunch& launch,
                                  const TaskKey& key,
                                  const std::string& cluster) const {
  const auto program = options_.programs.find(launch.program());
  if (program == options_.programs.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("this agent has no program ",
                     v1::TaskLaunch::Program_Name(launch.program()),
                     " (number ", static_cast<int>(launch.program()),
                     "); is it older than its coordinator?"));
  }
  const std::string folder = TaskFolder(key);
  for (const std::string& path :
       {folder, LogFolder(key), SocketFolder(key.job), SpoolFolder(key.job)}) {
    TFD_RETURN_IF_ERROR(MakeFolders(path));
  }
  TFD_RETURN_IF_ERROR(WriteSmallFile(absl::StrCat(folder, "/", kSpecFile),
                                     launch.spec(), kSecretMode));
  TFD_RETURN_IF_ERROR(WriteSmallFile(absl::StrCat(folder, "/", kTokenFile),
                                     launch.token(), kSecretMode));
  if (!launch.feed_token().empty()) {
    TFD_RETURN_IF_ERROR(
        WriteSmallFile(absl::StrCat(folder, "/", kFeedTokenFile),
                       launch.feed_token(), kSecretMode));
  }
  Launch record;
  record.cluster = cluster;
  record.command = program->second;
  record.environment = TaskVariables(*this, launch, key);
  record.working_folder = folder;
  record.log_folder = LogFolder(key);
  record.log_bytes = options_.log_bytes;
  record.log_files = options_.log_files;
  record.grace_ms = absl::ToInt64Milliseconds(options_.grace);
  return WriteLaunch(folder, record);
}

absl::StatusOr<StartedShim> Launcher::StartShim(
    const std::string& folder) const {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return absl::ErrnoToStatus(errno, "cannot make a pipe for the shim");
  }
  StartedShim shim;
  shim.claimed = UniqueDescriptor(ends[0]);
  const UniqueDescriptor write_end(ends[1]);
  SpawnOptions options;
  FillSpawnOptions(options, write_end.get(),
                   absl::StrCat(folder, "/", kShimLogFile));

  std::vector<std::string> command = options_.shim_command;
  command.push_back(folder);
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  const int error = posix_spawn(&shim.pid, arguments[0], &options.files,
                                &options.attributes, arguments.data(), environ);
  if (error != 0) {
    return absl::ErrnoToStatus(
        error, absl::StrCat("cannot start the shim ", command[0]));
  }
  // Not reaped by anybody else, so its pid is still its own.
  const std::optional<ProcessId> id = ProcessId::Of(shim.pid);
  shim.ended = UniqueDescriptor(id ? OpenProcess(*id) : -1);
  return shim;
}

absl::Status Launcher::DeleteTask(const TaskKey& key) const {
  return DeleteTree(TaskFolder(key));
}

absl::Status Launcher::DeleteJob(const std::string& job) const {
  // The tasks' folder goes last: while it is there the rest is found again.
  TFD_RETURN_IF_ERROR(DeleteTree(SocketFolder(job)));
  TFD_RETURN_IF_ERROR(DeleteTree(SpoolFolder(job)));
  return DeleteTree(absl::StrCat(TasksFolder(), "/", job));
}

namespace {

bool IsForRemoteFiles(absl::string_view name) {
  return absl::StartsWith(name, "AWS_") || absl::StartsWith(name, "HADOOP_") ||
         name == "ARROW_LIBHDFS_DIR" || name == "JAVA_HOME" ||
         name == "CLASSPATH";
}

}  // namespace

std::map<std::string, std::string> TaskVariables(const Launcher& launcher,
                                                 const v1::TaskLaunch& launch,
                                                 const TaskKey& key) {
  const std::string folder = launcher.TaskFolder(key);
  std::map<std::string, std::string> variables = {
      {kCoordinatorVariable, launcher.options().coordinator},
      {kJobVariable, key.job},
      {kTaskVariable, key.Task()},
      {kGenerationVariable, absl::StrCat(key.generation)},
      {kTokenFileVariable, absl::StrCat(folder, "/", kTokenFile)},
      {kSpecFileVariable, absl::StrCat(folder, "/", kSpecFile)},
      {kExitFileVariable, absl::StrCat(folder, "/", kExitMessageFile)},
      {kSocketFolderVariable, launcher.SocketFolder(key.job)},
      {"PATH", kDefaultPath},
  };
  const bool feeds = launch.program() == v1::TaskLaunch::FEED;
  if (feeds || !launch.feed_token().empty()) {
    variables[kFeedTokenFileVariable] =
        absl::StrCat(folder, "/", kFeedTokenFile);
  }
  if (feeds) {
    variables[kSpoolFolderVariable] = launcher.SpoolFolder(key.job);
  }
  // As many threads as cpus: otherwise each process takes all of the machine.
  const std::string threads =
      absl::StrCat(std::max(1, static_cast<int>(launch.resources().cpus())));
  for (const char* name :
       {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}) {
    variables[name] = threads;
  }
  for (const char* name :
       {"PATH", "HOME", "LANG", "TZ", net::kHostIdVariable}) {
    if (const char* value = getenv(name)) variables[name] = value;
  }
  // Who may read data and storage in S3 and HDFS, and where these are.
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::pair<std::string, std::string> variable =
        absl::StrSplit(*entry, absl::MaxSplits('=', 1));
    if (IsForRemoteFiles(variable.first)) variables.insert(variable);
  }
  return variables;
}

}  // namespace tfd::agent
