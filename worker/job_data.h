// The datasets of a job as its worker and evaluator open them, and what every
// task has to know of the training data to build the same model.
#ifndef TFD_WORKER_JOB_DATA_H_
#define TFD_WORKER_JOB_DATA_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "data/dataset.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::worker {

// For one batch of a file on a disk that is slow or far.
constexpr absl::Duration kReadPatience = absl::Minutes(5);

// Gives the partitions of a pushed dataset ("train", "validation"), once it is
// complete.
using AwaitPartitions =
    std::function<absl::StatusOr<std::vector<v1::Partition>>(
        const std::string& dataset)>;

absl::StatusOr<std::unique_ptr<data::Dataset>> OpenTraining(
    const v1::JobSpec& spec, const AwaitPartitions& await);

// Preprocessed with `steps`: those of the training data.
absl::StatusOr<std::unique_ptr<data::Dataset>> OpenValidation(
    const v1::JobSpec& spec, const data::PreprocessSteps& steps,
    const AwaitPartitions& await);

bool HasValidation(const v1::JobSpec& spec);

// What the training data says about the model's input.
struct InputFacts {
  // Of one record.
  std::vector<int64_t> shape;
  data::Dtype dtype = data::Dtype::kFloat32;
  data::PreprocessSteps preprocess;
};
InputFacts FactsOf(const data::Dataset& training);

// The same for a task that does not train.
absl::StatusOr<InputFacts> LearnFacts(const v1::JobSpec& spec,
                                      const AwaitPartitions& await);

// InvalidArgument where a record of `dataset` has not as many numbers as the
// model takes, naming both shapes.
absl::Status CheckRecordsFit(const data::Dataset& dataset,
                             absl::Span<const int64_t> input);

// Records in one batch of evaluation.
int64_t EvaluationBatchSize(const v1::JobSpec& spec);

}  // namespace tfd::worker

#endif  // TFD_WORKER_JOB_DATA_H_
