#include "ps/ps_process.h"

#include <malloc.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/log.h"
#include "common/net/server.h"
#include "common/random.h"
#include "common/status.h"
#include "common/task/coordinator_link.h"
#include "common/version.h"
#include "ps/checkpoint_keeper.h"
#include "ps/shard_host.h"
#include "ps/shard_service.h"
#include "tensor/checkpoint.h"

namespace tfd::ps {
namespace {

constexpr char kRole[] = "ps";
// 128 + SIGTERM.
constexpr int kTerminatedExitCode = 143;
// A task that was told to stop is gone after a second, whatever hangs.
constexpr absl::Duration kStopTimeout = absl::Milliseconds(900);
constexpr int kMmapThresholdBytes = 1 << 30;
constexpr int kTrimThresholdBytes = 0x7fffffff;
constexpr int kTopPadBytes = 256 << 20;

// Owns everything of one parameter server. Threads: this one (waits), gRPC's,
// shard-host, snapshot, checkpoints (ps/0) and the link's.
class PsProcess {
 public:
  PsProcess(const TaskEnvironment& environment, Interrupt* interrupt)
      : environment_(environment), interrupt_(interrupt) {}
  ~PsProcess() { Stop(); }

  absl::Status Run() {
    TFD_ASSIGN_OR_RETURN(store_, tensor::CheckpointStore::Open(
                                     environment_.spec.storage().uri()));
    std::optional<v1::CheckpointRef> restore;
    if (environment_.number == 0) {
      TFD_ASSIGN_OR_RETURN(restore, PrepareStorage(environment_.spec, *store_));
      MakeKeeper();
    }
    MakeHost();
    TFD_RETURN_IF_ERROR(StartServer());
    StartLink(restore);
    return WaitForTheEnd();
  }

 private:
  void MakeKeeper() {
    CheckpointKeeper::Events events;
    events.manifest = [this](int64_t step) { return host_->Manifest(step); };
    events.on_written = [this](const v1::CheckpointRef& checkpoint) {
      v1::TaskMessage message;
      *message.mutable_manifest_written()->mutable_checkpoint() = checkpoint;
      Send(std::move(message));
    };
    events.on_failed = [this](const absl::Status& status) { End(status); };
    keeper_ = std::make_unique<CheckpointKeeper>(environment_.job, &*store_,
                                                 std::move(events));
  }

  void MakeHost() {
    ShardHostOptions options;
    options.task = environment_.task;
    options.shard = static_cast<uint32_t>(environment_.number);
    options.generation = environment_.generation;
    options.spec = environment_.spec;
    host_ = std::make_unique<ShardHost>(
        std::move(options), &*store_,
        [this](int64_t step, const absl::StatusOr<v1::ShardFile>& file) {
          OnSaved(step, file);
        },
        [this](const absl::Status& status) { End(status); });
  }

  absl::Status StartServer() {
    service_ = MakeShardService(host_.get(), environment_.token);
    net::ServerOptions options;
    options.max_message_bytes = kMaxShardMessageBytes;
    // Short, because the path of a socket may be: the folder is shared by all
    // jobs' tasks on this node.
    options.unix_path =
        absl::StrCat(environment_.socket_folder, "/", RandomId(), ".sock");
    TFD_ASSIGN_OR_RETURN(server_,
                         net::Server::Start(options, {service_.get()}));
    return absl::OkStatus();
  }

  void StartLink(const std::optional<v1::CheckpointRef>& restore) {
    CoordinatorLinkOptions options;
    options.coordinator = environment_.coordinator;
    options.token = environment_.token;
    v1::TaskHello& hello = options.hello;
    hello.set_protocol_version(kProtocolVersion);
    hello.set_job(environment_.job);
    hello.set_task(environment_.task);
    hello.set_generation(environment_.generation);
    hello.set_incarnation(RandomUint64());
    hello.set_pid(getpid());
    *hello.mutable_endpoint() = server_->endpoint();
    if (restore.has_value()) *hello.mutable_restore() = *restore;
    options.on_command = [this](const v1::TaskCommand& command) {
      OnCommand(command);
    };
    options.on_lost = [this](const absl::Status& status) { End(status); };
    // Under the lock, so that nothing is sent before the link is there.
    absl::MutexLock lock(&mutex_);
    link_ = CoordinatorLink::Start(std::move(options));
  }

  absl::Status WaitForTheEnd() {
    spdlog::info("serves at {} and {}", server_->endpoint().unix_path(),
                 server_->endpoint().tcp());
    const int signal_number = interrupt_->Wait(absl::InfiniteDuration());
    absl::MutexLock lock(&mutex_);
    if (signal_number != 0) {
      return absl::CancelledError(
          absl::StrCat("stopped by signal ", signal_number));
    }
    return ended_.value_or(absl::InternalError("woken without a reason"));
  }

  void OnCommand(const v1::TaskCommand& command) {
    switch (command.command_case()) {
      case v1::TaskCommand::kMembership:
        return host_->SetMembership(command.membership());
      case v1::TaskCommand::kWriteManifest:
        if (keeper_) keeper_->WriteManifest(command.write_manifest());
        return;
      case v1::TaskCommand::kCommitted:
        if (keeper_) keeper_->Commit(command.committed());
        return;
      default:
        return;  // for workers
    }
  }

  void OnSaved(int64_t step, const absl::StatusOr<v1::ShardFile>& file) {
    if (!file.ok()) {
      return End(Annotate(file.status(),
                          absl::StrCat("the checkpoint of step ", step)));
    }
    v1::TaskMessage message;
    message.mutable_shard_saved()->set_step(step);
    *message.mutable_shard_saved()->mutable_file() = *file;
    Send(std::move(message));
  }

  void Send(v1::TaskMessage message) {
    absl::MutexLock lock(&mutex_);
    if (link_ != nullptr) link_->Send(std::move(message));
  }

  // The first reason counts.
  void End(const absl::Status& status) {
    {
      absl::MutexLock lock(&mutex_);
      if (!ended_.has_value()) ended_ = status;
    }
    interrupt_->Wake();
  }

  // Whoever calls others is stopped before them: the link calls host and
  // keeper; host and keeper send over the link, if it is still there.
  void Stop() {
    std::unique_ptr<CoordinatorLink> link;
    {
      absl::MutexLock lock(&mutex_);
      link = std::move(link_);
    }
    link.reset();
    if (host_) host_->Stop();
    server_.reset();
    keeper_.reset();
    host_.reset();
  }

  const TaskEnvironment& environment_;
  Interrupt* const interrupt_;
  std::optional<tensor::CheckpointStore> store_;
  std::unique_ptr<CheckpointKeeper> keeper_;
  std::unique_ptr<ShardHost> host_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<net::Server> server_;

  absl::Mutex mutex_;
  std::unique_ptr<CoordinatorLink> link_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

void TuneAllocator() {
  mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes);
  mallopt(M_TRIM_THRESHOLD, kTrimThresholdBytes);
  mallopt(M_TOP_PAD, kTopPadBytes);
  mallopt(M_ARENA_MAX, 1);
}

absl::Status RunParameterServer(const TaskEnvironment& environment,
                                Interrupt* interrupt) {
  auto process = std::make_unique<PsProcess>(environment, interrupt);
  absl::Status status = process->Run();
  // A disk that hangs under a checkpoint, say, must not keep the process; there
  // is nothing left that would have to be saved.
  const int code = absl::IsCancelled(status) ? kTerminatedExitCode : 1;
  if (!absl::IsCancelled(status)) {
    WriteExitFile(environment.exit_file, status);
  }
  std::thread([code] {
    absl::SleepFor(kStopTimeout);
    _exit(code);
  }).detach();
  process.reset();
  return status;
}

int RunPsTask(Interrupt* interrupt) {
  absl::StatusOr<TaskEnvironment> environment = ReadTaskEnvironment();
  if (!environment.ok()) {
    spdlog::error("{}", std::string(environment.status().message()));
    return 1;
  }
  LogOptions log;
  log.name = absl::StrCat("job ", environment->job, " ", environment->task);
  absl::Status status = InitLogging(log);
  if (status.ok() && environment->role != kRole) {
    status = absl::InvalidArgumentError(absl::StrCat(
        environment->task, " is no parameter server; tfd-ps runs ps/NUMBER"));
  }
  if (status.ok()) status = RunParameterServer(*environment, interrupt);
  if (absl::IsCancelled(status)) return kTerminatedExitCode;
  if (!status.ok()) {
    spdlog::error("{}", std::string(status.message()));
    return 1;
  }
  return 0;
}

}  // namespace tfd::ps
