#include "worker/job_data.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "worker/models/definition.h"

namespace tfd::worker {
namespace {

constexpr int64_t kDefaultEvaluationBatch = 256;

absl::StatusOr<std::unique_ptr<data::Dataset>> Open(
    const v1::JobSpec& spec, const std::string& name,
    const v1::DatasetSpec& dataset, const data::Preprocess& preprocess,
    const AwaitPartitions& await) {
  data::OpenOptions options;
  options.name = name;
  options.classes = spec.model().classes();
  if (dataset.format() == v1::DatasetSpec::PUSHED) {
    TFD_ASSIGN_OR_RETURN(options.partitions, await(name));
  }
  return data::OpenDataset(dataset, preprocess, options);
}

}  // namespace

absl::StatusOr<std::unique_ptr<data::Dataset>> OpenTraining(
    const v1::JobSpec& spec, const AwaitPartitions& await) {
  return Open(spec, "train", spec.data().train(), data::Preprocess(spec.data()),
              await);
}

absl::StatusOr<std::unique_ptr<data::Dataset>> OpenValidation(
    const v1::JobSpec& spec, const data::PreprocessSteps& steps,
    const AwaitPartitions& await) {
  return Open(spec, "validation", spec.data().validation(),
              data::Preprocess(steps), await);
}

bool HasValidation(const v1::JobSpec& spec) {
  return spec.data().has_validation();
}

InputFacts FactsOf(const data::Dataset& training) {
  return {training.info().shape, training.info().dtype,
          training.info().preprocess};
}

absl::StatusOr<InputFacts> LearnFacts(const v1::JobSpec& spec,
                                      const AwaitPartitions& await) {
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<data::Dataset> training,
                       OpenTraining(spec, await));
  return FactsOf(*training);
}

absl::Status CheckRecordsFit(const data::Dataset& dataset,
                             absl::Span<const int64_t> input) {
  if (dataset.info().elements == ShapeElements(input)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a record of ", dataset.info().source, " is ",
                   ShapeText(dataset.info().shape), " with ",
                   dataset.info().elements, " numbers, and the model takes ",
                   ShapeText(input), " with ", ShapeElements(input)));
}

int64_t EvaluationBatchSize(const v1::JobSpec& spec) {
  const v1::DatasetSpec& validation = spec.data().validation();
  if (validation.has_batch_size()) return validation.batch_size();
  if (validation.has_global_batch_size()) return validation.global_batch_size();
  return kDefaultEvaluationBatch;
}

}  // namespace tfd::worker
