#include "ps/checkpoint_keeper.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace tfd::ps {
namespace {

constexpr char kExportFolder[] = "export";
// The coordinator sends two commands per checkpoint and waits for an answer.
constexpr size_t kMaxQueuedCommands = 1024;

}  // namespace

absl::StatusOr<std::optional<v1::CheckpointRef>> PrepareStorage(
    const v1::JobSpec& spec, const tensor::CheckpointStore& store,
    const std::string& restarted_job) {
  if (spec.resume()) {
    std::vector<std::string> problems;
    TFD_ASSIGN_OR_RETURN(std::optional<v1::CheckpointRef> newest,
                         store.NewestIntact(&problems));
    for (const std::string& problem : problems) {
      spdlog::warn("skipped: {}", problem);
    }
    if (newest.has_value()) {
      spdlog::info("goes on from step {}: {}", newest->step(), newest->uri());
    }
    return newest;
  }
  const absl::StatusOr<v1::CommittedIndex> committed = store.ReadCommitted();
  if (!restarted_job.empty() && committed.ok() &&
      committed->job() == restarted_job) {
    return std::nullopt;  // its own
  }
  if (spec.overwrite()) {
    TFD_ASSIGN_OR_RETURN(const Location storage,
                         ResolveUri(spec.storage().uri()));
    TFD_RETURN_IF_ERROR(store.DeleteAll());
    TFD_RETURN_IF_ERROR(
        storage.file_system->Delete(JoinPath(storage.path, kExportFolder)));
    return std::nullopt;
  }
  if (absl::IsNotFound(committed.status())) return std::nullopt;
  if (committed.ok() && committed->checkpoints().empty()) return std::nullopt;
  const std::string found =
      committed.ok() ? absl::StrCat("checkpoints of job ", committed->job(),
                                    " up to step ",
                                    committed->checkpoints().rbegin()->step())
                     : std::string(committed.status().message());
  return absl::FailedPreconditionError(absl::StrCat(
      "storage ", spec.storage().uri(), " is in use: it has ", found, " in ",
      store.checkpoints_folder(),
      "; go on from there with --resume, replace it with --overwrite, or "
      "choose another storage"));
}

CheckpointKeeper::CheckpointKeeper(std::string job,
                                   const tensor::CheckpointStore* store,
                                   Events events)
    : job_(std::move(job)),
      store_(store),
      events_(std::move(events)),
      thread_([this] {
        pthread_setname_np(pthread_self(), "checkpoints");
        Run();
      }) {}

CheckpointKeeper::~CheckpointKeeper() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void CheckpointKeeper::WriteManifest(const v1::WriteManifest& command) {
  Add(command);
}

void CheckpointKeeper::Commit(const v1::CommittedCheckpoints& command) {
  Add(command);
}

void CheckpointKeeper::Add(Command command) {
  {
    absl::MutexLock lock(&mutex_);
    if (queue_.size() < kMaxQueuedCommands) {
      queue_.push_back(std::move(command));
      return;
    }
  }
  events_.on_failed(absl::ResourceExhaustedError(absl::StrCat(
      "storage ", store_->checkpoints_folder(), " is too slow: ",
      kMaxQueuedCommands, " checkpoints' manifests and commits wait for it")));
}

void CheckpointKeeper::Run() {
  while (true) {
    Command command;
    {
      absl::MutexLock lock(&mutex_);
      const auto wake = [this] {
        mutex_.AssertReaderHeld();
        return stopping_ || !queue_.empty();
      };
      mutex_.Await(absl::Condition(&wake));
      if (stopping_) return;
      command = std::move(queue_.front());
      queue_.pop_front();
    }
    const absl::Status status =
        std::visit([this](const auto& c) { return Do(c); }, command);
    if (!status.ok()) events_.on_failed(status);
  }
}

absl::Status CheckpointKeeper::Do(const v1::WriteManifest& command) {
  TFD_ASSIGN_OR_RETURN(v1::CheckpointManifest manifest,
                       events_.manifest(command.step()));
  manifest.set_job(job_);
  *manifest.mutable_shards() = command.shards();
  std::sort(manifest.mutable_shards()->begin(),
            manifest.mutable_shards()->end(),
            [](const v1::ShardFile& a, const v1::ShardFile& b) {
              return a.shard() < b.shard();
            });
  absl::StatusOr<v1::CheckpointRef> ref = store_->WriteManifest(manifest);
  if (!ref.ok()) {
    return Annotate(ref.status(),
                    absl::StrCat("the manifest of step ", command.step()));
  }
  events_.on_written(*ref);
  return absl::OkStatus();
}

absl::Status CheckpointKeeper::Do(const v1::CommittedCheckpoints& command) {
  v1::CommittedIndex index;
  index.set_job(job_);
  *index.mutable_checkpoints() = command.checkpoints();
  TFD_RETURN_IF_ERROR(store_->WriteCommitted(index));
  for (const v1::CheckpointRef& checkpoint : command.deleted()) {
    const absl::Status deleted = store_->DeleteCheckpoint(checkpoint);
    if (!deleted.ok()) {
      spdlog::warn("an old checkpoint stays: {}",
                   std::string(deleted.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace tfd::ps
