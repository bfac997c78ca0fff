#include "daemon/agent/agent_process.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/child_process.h"
#include "common/interrupt.h"
#include "common/log.h"
#include "common/random.h"
#include "common/status.h"
#include "common/units.h"
#include "common/version.h"
#include "daemon/agent/resources.h"
#include "spdlog/spdlog.h"

namespace tfd::agent {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(5);
// Longer than the task manager waits for a shim that hangs.
constexpr absl::Duration kStopTimeout = absl::Seconds(30);
// For the last reports to leave.
constexpr absl::Duration kFlush = absl::Seconds(1);
// A socket's path has 107 bytes: this, "/", a job's folder (24), "/" and 24
// bytes for the name.
constexpr size_t kMaxSocketFolder = 57;
constexpr size_t kIncarnationLength = 16;

// Ours, and nobody else can put anything into it.
bool IsPrivateFolder(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
         info.st_uid == geteuid() && (info.st_mode & S_IWOTH) == 0;
}

}  // namespace

AgentProcess::AgentProcess(AgentOptions options, AgentState state)
    : options_(std::move(options)),
      incarnation_(RandomId(kIncarnationLength)),
      log_token_(RandomToken()),
      state_(std::move(state)) {}

AgentProcess::~AgentProcess() { (void)Stop(); }

absl::StatusOr<std::unique_ptr<AgentProcess>> AgentProcess::Start(
    AgentOptions options) {
  absl::StatusOr<AgentState> state = AgentState::Open(options.state_folder);
  if (!state.ok()) return state.status();
  auto agent = std::unique_ptr<AgentProcess>(
      new AgentProcess(std::move(options), *std::move(state)));
  TFD_RETURN_IF_ERROR(agent->ChooseSocketFolder());
  TFD_RETURN_IF_ERROR(agent->StartParts());
  return agent;
}

absl::Status AgentProcess::ChooseSocketFolder() {
  socket_folder_ = options_.socket_folder;
  if (socket_folder_.empty()) {
    owns_socket_folder_ = true;
    socket_folder_ = state_.memory().socket_folder;
    if (IsPrivateFolder(socket_folder_)) return absl::OkStatus();
    char path[] = "/tmp/tfd-XXXXXX";
    if (mkdtemp(path) == nullptr) {
      return absl::ErrnoToStatus(
          errno,
          "cannot create a folder for sockets in /tmp; name another with "
          "--socket-dir");
    }
    socket_folder_ = path;
    AgentMemory memory = state_.memory();
    memory.socket_folder = socket_folder_;
    return state_.Remember(std::move(memory));
  }
  if (socket_folder_.size() > kMaxSocketFolder) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--socket-dir ", socket_folder_, " is ", socket_folder_.size(),
        " bytes long and may have ", kMaxSocketFolder,
        ": the path of a Unix socket is limited; choose a shorter one"));
  }
  std::error_code error;
  std::filesystem::create_directories(socket_folder_, error);
  return error ? absl::ErrnoToStatus(error.value(),
                                     absl::StrCat("cannot create --socket-dir ",
                                                  socket_folder_))
               : absl::OkStatus();
}

LauncherOptions AgentProcess::MakeLauncherOptions() const {
  LauncherOptions launcher;
  launcher.state_folder = options_.state_folder;
  launcher.log_folder = options_.log_folder;
  launcher.spool_folder = options_.spool_folder;
  launcher.socket_folder = socket_folder_;
  launcher.coordinator = options_.coordinator;
  launcher.programs = options_.programs;
  launcher.shim_command = options_.shim_command;
  launcher.grace = kGrace;
  return launcher;
}

absl::Status AgentProcess::StartParts() {
  TFD_ASSIGN_OR_RETURN(const v1::Resources detected, DetectResources());
  TFD_ASSIGN_OR_RETURN(offered_, ParseOffer(options_.offer, detected));
  LauncherOptions launcher = MakeLauncherOptions();
  if (launcher.programs.empty()) {
    TFD_ASSIGN_OR_RETURN(launcher.programs, SiblingPrograms());
  }
  if (launcher.shim_command.empty()) {
    TFD_ASSIGN_OR_RETURN(const std::string folder, ProgramFolder());
    launcher.shim_command = {folder + "/tfd-agent", "shim"};
  }
  StartLink();
  TFD_ASSIGN_OR_RETURN(
      tasks_, TaskManager::Start(
                  {std::move(launcher), [this](const v1::TaskReport& report) {
                     link_->Report(report);
                   }}));
  service_.emplace(AgentServiceOptions{
      options_.log_folder, log_token_,
      [this](const TaskKey& key) { return tasks_->IsAlive(key); }});
  net::ServerOptions server;
  server.unix_path = socket_folder_ + "/agent.sock";
  TFD_ASSIGN_OR_RETURN(server_,
                       net::Server::Start(server, {&service_.value()}));
  link_->Start();
  spdlog::info("node {} offers {} cpus and {}; coordinator {}", options_.node,
               offered_.cpus(), FormatBytes(offered_.memory_bytes()),
               options_.coordinator);
  return absl::OkStatus();
}

void AgentProcess::StartLink() {
  AgentLinkOptions link;
  link.coordinator = options_.coordinator;
  link.hello = [this] { return MakeHello(); };
  link.on_welcome = [this](const v1::AgentWelcome& welcome) {
    OnWelcome(welcome);
  };
  link.on_desired = [this](v1::DesiredState desired) {
    tasks_->SetDesired(std::move(desired));
  };
  link_ = std::make_unique<AgentLink>(std::move(link));
}

v1::AgentHello AgentProcess::MakeHello() const {
  v1::AgentHello hello;
  hello.set_protocol_version(kProtocolVersion);
  hello.set_node(options_.node);
  hello.set_incarnation(incarnation_);
  *hello.mutable_offered() = offered_;
  *hello.mutable_endpoint() = server_->endpoint();
  for (v1::TaskReport& report : tasks_->Reports()) {
    *hello.add_tasks() = std::move(report);
  }
  hello.set_version(kVersion);
  hello.set_log_token(log_token_);
  return hello;
}

// On the link's reading thread, the only one that touches the memory once the
// link runs.
void AgentProcess::OnWelcome(const v1::AgentWelcome& welcome) {
  AgentMemory memory = state_.memory();
  if (memory.cluster_id != welcome.cluster_id()) {
    if (!memory.cluster_id.empty()) {
      spdlog::warn(
          "the coordinator is of cluster {}, the one before was of {}: tasks "
          "of that one are stopped",
          welcome.cluster_id(), memory.cluster_id);
    }
    memory.cluster_id = welcome.cluster_id();
    if (absl::Status status = state_.Remember(std::move(memory));
        !status.ok()) {
      spdlog::warn("{}", std::string(status.message()));
    }
  }
  tasks_->SetCluster(welcome.cluster_id());
}

absl::Status AgentProcess::Stop() {
  if (std::exchange(stopped_, true)) return absl::OkStatus();
  absl::Status status;
  if (tasks_ != nullptr && options_.stop_tasks_on_exit) {
    status = tasks_->StopAll(kStopTimeout);
  }
  if (link_ != nullptr) link_->Stop(kFlush);
  if (service_) service_->Stop();
  if (server_ != nullptr) server_->Stop();
  const int alive = tasks_ == nullptr ? 0 : tasks_->AliveTasks();
  tasks_.reset();
  server_.reset();
  if (alive > 0) {
    spdlog::info("{} tasks go on; an agent on {} takes them over", alive,
                 options_.state_folder);
  } else if (owns_socket_folder_) {
    std::error_code ignored;
    std::filesystem::remove_all(socket_folder_, ignored);
  }
  return status;
}

absl::Status RunAgent(const AgentOptions& options) {
  Interrupt interrupt;
  TFD_RETURN_IF_ERROR(InitLogging(
      {absl::StrCat("tfd-agent ", options.node), options.log_level}));
  if (options.dies_with_parent && prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) {
    return absl::ErrnoToStatus(errno, "--dies-with-parent");
  }
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<AgentProcess> agent,
                       AgentProcess::Start(options));
  while (interrupt.Wait(absl::InfiniteDuration()) == 0) {
  }
  return agent->Stop();
}

}  // namespace tfd::agent
