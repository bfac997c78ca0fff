// What ps/0 does for the checkpoints of its job: finds the one to go on from,
// writes manifests, keeps committed.json, deletes what is no longer kept.
#ifndef TFD_PS_CHECKPOINT_KEEPER_H_
#define TFD_PS_CHECKPOINT_KEEPER_H_

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tensor/checkpoint.h"
#include "tfd/v1/job_spec.pb.h"
#include "tfd/v1/task.pb.h"

namespace tfd::ps {

// Before a training starts: what is in storage already, and what the spec says
// about that. With `resume` the newest intact committed checkpoint, if any
// (damaged newer ones are logged); with `overwrite` all former checkpoints and
// the export are deleted; with neither, checkpoints that are there are a
// FailedPrecondition that says what to do.
//
// `restarted_job`, where this is not its first gang: its own checkpoints are
// left to the coordinator, which knows them.
absl::StatusOr<std::optional<v1::CheckpointRef>> PrepareStorage(
    const v1::JobSpec& spec, const tensor::CheckpointStore& store,
    const std::string& restarted_job = "");

// Thread-safe; owns one thread, "checkpoints", which does the file I/O in the
// order of the calls.
class CheckpointKeeper {
 public:
  struct Events {
    // The layout and cursor of a checkpoint (ShardHost::Manifest).
    std::function<absl::StatusOr<v1::CheckpointManifest>(int64_t step)>
        manifest;
    std::function<void(const v1::CheckpointRef&)> on_written;
    // Storage cannot be written; the task should end with this.
    std::function<void(const absl::Status&)> on_failed;
  };

  // `store` outlives the keeper.
  CheckpointKeeper(std::string job, const tensor::CheckpointStore* store,
                   Events events);
  // Ends after what is under way; what is queued is dropped.
  ~CheckpointKeeper();

  // Repeated ones give the same file again.
  void WriteManifest(const v1::WriteManifest& command);
  void Commit(const v1::CommittedCheckpoints& command);

 private:
  using Command = std::variant<v1::WriteManifest, v1::CommittedCheckpoints>;

  void Add(Command command);
  void Run();
  absl::Status Do(const v1::WriteManifest& command);
  absl::Status Do(const v1::CommittedCheckpoints& command);

  const std::string job_;
  const tensor::CheckpointStore* const store_;
  const Events events_;

  absl::Mutex mutex_;
  std::deque<Command> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tfd::ps

#endif  // TFD_PS_CHECKPOINT_KEEPER_H_
