// Scoring a dataset with a model whose parameters are those of a checkpoint.
#ifndef TFD_WORKER_EVALUATION_H_
#define TFD_WORKER_EVALUATION_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/dataset.h"
#include "tensor/checkpoint.h"
#include "tfd/v1/job.pb.h"
#include "worker/model.h"

namespace tfd::worker {

// Reads a committed checkpoint into model->parameters(). FailedPrecondition
// names the first parameter that differs.
absl::Status LoadCheckpoint(const tensor::CheckpointStore& store,
                            const v1::CheckpointRef& checkpoint, Model* model);

// One pass over all records. `keep_going` is asked before every batch; what
// else than OK it says ends the pass.
absl::StatusOr<Scores> Evaluate(
    const data::Dataset& dataset, int64_t batch_size, Model* model,
    const std::function<absl::Status()>& keep_going);

}  // namespace tfd::worker

#endif  // TFD_WORKER_EVALUATION_H_
