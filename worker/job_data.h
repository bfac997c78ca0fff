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
#include "common/fs/file_system.h"
#include "common/task/environment.h"
#include "data/dataset.h"
#include "data/growing_batches.h"
#include "tfd/v1/job_spec.pb.h"
#include "tfd/v1/task.pb.h"

namespace tfd::worker {

// For one batch of a file on a disk that is slow or far.
constexpr absl::Duration kReadPatience = absl::Minutes(5);

// Gives the partitions of a pushed dataset ("train", "validation"), once it is
// complete.
using AwaitPartitions =
    std::function<absl::StatusOr<std::vector<v1::Partition>>(
        const std::string& dataset)>;

// Opens a partition wherever it lies; empty: on this host.
using OpenPartition =
    std::function<absl::StatusOr<std::unique_ptr<RandomAccessFile>>(
        const std::string& dataset, const v1::Partition& partition)>;

// How a task comes to pushed data.
struct PushedAccess {
  AwaitPartitions await;
  OpenPartition open;
};

// A task's: what lies on another host is fetched from the feed there.
OpenPartition FetchingFrom(const v1::Membership& membership,
                           const TaskEnvironment& environment);

absl::StatusOr<std::unique_ptr<data::Dataset>> OpenTraining(
    const v1::JobSpec& spec, const PushedAccess& access);

// The batches of training data that grows (spec::Grows) for one of `slots`
// workers. `restored` is the step that training goes on from.
struct GrowingSeat {
  int64_t slot = 0;
  int64_t slots = 1;
  v1::GrowthCursor cursor;
};
absl::StatusOr<std::unique_ptr<data::GrowingBatches>> OpenGrowing(
    const v1::JobSpec& spec, const GrowingSeat& seat, data::AwaitSegment await,
    const OpenPartition& open,
    std::function<void(const data::GrowingLength&)> on_grown);

// Preprocessed with `steps`: those of the training data.
absl::StatusOr<std::unique_ptr<data::Dataset>> OpenValidation(
    const v1::JobSpec& spec, const data::PreprocessSteps& steps,
    const PushedAccess& access);

bool HasValidation(const v1::JobSpec& spec);

// What the training data says about the model's input.
struct InputFacts {
  // Of one record.
  std::vector<int64_t> shape;
  data::Dtype dtype = data::Dtype::kFloat32;
  data::PreprocessSteps preprocess;
};
InputFacts FactsOf(const data::DatasetInfo& training);

// InvalidArgument where a record of `dataset` has not as many numbers as the
// model takes, naming both shapes.
absl::Status CheckRecordsFit(const data::Dataset& dataset,
                             absl::Span<const int64_t> input);

// Records in one batch of evaluation.
int64_t EvaluationBatchSize(const v1::JobSpec& spec);

}  // namespace tfd::worker

#endif  // TFD_WORKER_JOB_DATA_H_
