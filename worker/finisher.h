// Scores and exports committed checkpoints as the coordinator asks: the whole
// life of an evaluator, and the end of worker/0 where there is none.
#ifndef TFD_WORKER_FINISHER_H_
#define TFD_WORKER_FINISHER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/fs/file_system.h"
#include "data/dataset.h"
#include "tensor/checkpoint.h"
#include "tfd/v1/job_spec.pb.h"
#include "tfd/v1/task.pb.h"
#include "worker/job_data.h"
#include "worker/model.h"
#include "worker/task_control.h"

namespace tfd::worker {

struct FinisherOptions {
  std::string job;
  uint64_t generation = 0;
  v1::JobSpec spec;
  InputFacts input;
};

// None is owned but `validation`; all outlive the finisher.
struct FinisherParts {
  Model* model = nullptr;
  // Null where the job has none.
  std::unique_ptr<data::Dataset> validation;
  TaskControl* control = nullptr;
  // Takes Evaluated and Exported.
  std::function<void(v1::TaskMessage)> send;
};

// Thread-compatible.
class Finisher {
 public:
  static absl::StatusOr<std::unique_ptr<Finisher>> Create(
      FinisherOptions options, FinisherParts parts);

  // Answers assignments until the task must end; returns why, or what failed.
  absl::Status Serve();

  // One of them.
  absl::Status Handle(const Assignment& assignment);

 private:
  Finisher(FinisherOptions options, FinisherParts parts, Location storage,
           tensor::CheckpointStore store);

  absl::Status Load(const v1::CheckpointRef& checkpoint);
  absl::StatusOr<v1::Evaluated> Score(const v1::CheckpointRef& checkpoint);
  absl::StatusOr<v1::Exported> Write(const v1::Export& wanted);

  const FinisherOptions options_;
  const FinisherParts parts_;
  const Location storage_;
  const tensor::CheckpointStore store_;
  // The checkpoint whose parameters the model has, by its folder.
  std::string loaded_;
  // Answers, by the checkpoint's folder: a coordinator that was away asks
  // again.
  std::map<std::string, v1::Evaluated> evaluated_;
  std::map<std::string, v1::Exported> exported_;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_FINISHER_H_
