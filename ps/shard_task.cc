#include "ps/shard_task.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "common/status.h"
#include "ps/shard_service.h"

namespace tfd::ps {
namespace {

constexpr char kShardWorkerRole[] = "worker";

}  // namespace

absl::StatusOr<std::unique_ptr<ShardTask>> ShardTask::Start(
    const TaskEnvironment& environment, Events events) {
  std::unique_ptr<ShardTask> task(
      new ShardTask(environment, std::move(events)));
  TFD_RETURN_IF_ERROR(task->Start());
  return task;
}

ShardTask::~ShardTask() { Stop(); }

bool ShardTask::sums_only() const {
  return environment_.role == kShardWorkerRole &&
         environment_.spec.exchange().aggregate() == v1::ExchangeSpec::NODE;
}

absl::Status ShardTask::Start() {
  if (!sums_only()) TFD_RETURN_IF_ERROR(OpenStorage());
  MakeHost();
  return StartServers();
}

absl::Status ShardTask::OpenStorage() {
  TFD_ASSIGN_OR_RETURN(
      store_, tensor::CheckpointStore::Open(environment_.spec.storage().uri()));
  if (environment_.number == 0) {
    const bool restarted = environment_.generation > 1;
    TFD_ASSIGN_OR_RETURN(
        restore_, PrepareStorage(environment_.spec, *store_,
                                 restarted ? environment_.job : std::string()));
    MakeKeeper();
  }
  return absl::OkStatus();
}

void ShardTask::MakeKeeper() {
  CheckpointKeeper::Events events;
  events.manifest = [this](int64_t step) { return host_->Manifest(step); };
  events.on_written = [this](const v1::CheckpointRef& checkpoint) {
    v1::TaskMessage message;
    *message.mutable_manifest_written()->mutable_checkpoint() = checkpoint;
    events_.send(std::move(message));
  };
  events.on_failed = events_.on_failed;
  keeper_ = std::make_unique<CheckpointKeeper>(environment_.job, &*store_,
                                               std::move(events));
}

void ShardTask::MakeHost() {
  ShardHostOptions options;
  options.task = environment_.task;
  // The layout of a node has one.
  options.sums_only = sums_only();
  options.shard = sums_only() ? 0 : static_cast<uint32_t>(environment_.number);
  options.generation = environment_.generation;
  options.spec = environment_.spec;
  options.in_worker = environment_.role == kShardWorkerRole;
  host_ = std::make_unique<ShardHost>(
      std::move(options), store_.has_value() ? &*store_ : nullptr,
      [this](int64_t step, const absl::StatusOr<v1::ShardFile>& file) {
        OnSaved(step, file);
      },
      events_.on_failed);
}

absl::Status ShardTask::StartServers() {
  service_ = MakeShardService(host_.get(), environment_.token);
  net::ServerOptions options;
  options.max_message_bytes = kMaxShardMessageBytes;
  // Short, because the path of a socket may be: the folder is shared by all
  // jobs' tasks on this node.
  const std::string path =
      absl::StrCat(environment_.socket_folder, "/", RandomId());
  options.unix_path = absl::StrCat(path, ".sock");
  options.memory_path = absl::StrCat(path, ".mem");
  TFD_ASSIGN_OR_RETURN(server_, net::Server::Start(options, {service_.get()}));
  TFD_ASSIGN_OR_RETURN(shared_server_, SharedShardServer::Start(
                                           options.memory_path,
                                           environment_.token, host_.get()));
  spdlog::info("serves {} at {} and {}",
               sums_only() ? "the workers of its node" : "parameters",
               server_->endpoint().unix_path(), server_->endpoint().tcp());
  return absl::OkStatus();
}

void ShardTask::OnCommand(const v1::TaskCommand& command) {
  switch (command.command_case()) {
    case v1::TaskCommand::kMembership:
      return host_->SetMembership(command.membership());
    case v1::TaskCommand::kWriteManifest:
      if (keeper_) keeper_->WriteManifest(command.write_manifest());
      return;
    case v1::TaskCommand::kCommitted: {
      if (keeper_) keeper_->Commit(command.committed());
      absl::MutexLock lock(&mutex_);
      for (const v1::CheckpointRef& ref : command.committed().checkpoints()) {
        committed_step_ = std::max(committed_step_, ref.step());
      }
      return;
    }
    default:
      return;  // for workers
  }
}

void ShardTask::OnSaved(int64_t step,
                        const absl::StatusOr<v1::ShardFile>& file) {
  if (!file.ok()) {
    return events_.on_failed(
        Annotate(file.status(), absl::StrCat("the checkpoint of step ", step)));
  }
  v1::TaskMessage message;
  message.mutable_shard_saved()->set_step(step);
  *message.mutable_shard_saved()->mutable_file() = *file;
  message.mutable_shard_saved()->set_shards(host_->shard()->layout().shards());
  events_.send(std::move(message));
  absl::MutexLock lock(&mutex_);
  saved_step_ = std::max(saved_step_, step);
}

absl::Status ShardTask::AwaitCheckpoint(int64_t step, absl::Duration timeout) {
  // A small model is all in the first shard, and nobody has opened this one.
  if (host_->shard() == nullptr) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  const auto there = [&] {
    mutex_.AssertReaderHeld();
    return saved_step_ >= step && (!keeper_ || committed_step_ >= step);
  };
  if (mutex_.AwaitWithTimeout(absl::Condition(&there), timeout)) {
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(
      saved_step_ < step
          ? absl::StrCat("the checkpoint of step ", step,
                         " is not written yet: is the storage slow?")
          : absl::StrCat("the coordinator has not committed the checkpoint of "
                         "step ",
                         step, ": are the other shards' files written?"));
}

// Whoever calls others is stopped before them.
void ShardTask::Stop() {
  if (host_) host_->Stop();
  shared_server_.reset();
  server_.reset();
  keeper_.reset();
  host_.reset();
}

}  // namespace tfd::ps
