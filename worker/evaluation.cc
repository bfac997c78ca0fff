#include "worker/evaluation.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/status.h"
#include "data/batch_plan.h"
#include "data/prefetcher.h"
#include "worker/job_data.h"
#include "worker/models/definition.h"

namespace tfd::worker {
namespace {

absl::Status CheckTensors(const v1::CheckpointManifest& manifest,
                          const Model& model) {
  const auto count = static_cast<size_t>(manifest.tensors_size());
  if (count != model.tensors().size()) {
    return absl::FailedPreconditionError(
        absl::StrCat("it has ", count, " parameters, and the model has ",
                     model.tensors().size()));
  }
  for (size_t i = 0; i < count; ++i) {
    const v1::TensorInfo& saved = manifest.tensors(static_cast<int>(i));
    const tensor::TensorShape& wanted = model.tensors()[i];
    const std::vector<int64_t> shape(saved.shape().begin(),
                                     saved.shape().end());
    if (saved.name() != wanted.name || shape != wanted.shape) {
      return absl::FailedPreconditionError(absl::StrCat(
          "its parameter ", i, " is ", saved.name(), " ", ShapeText(shape),
          ", and the model's is ", wanted.name, " ", ShapeText(wanted.shape)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status LoadCheckpoint(const tensor::CheckpointStore& store,
                            const v1::CheckpointRef& checkpoint, Model* model) {
  TFD_ASSIGN_OR_RETURN(const tensor::CheckpointReader reader,
                       store.OpenCheckpoint(checkpoint));
  TFD_RETURN_IF_ERROR(Annotate(
      CheckTensors(reader.manifest(), *model),
      absl::StrCat("checkpoint ", checkpoint.uri(), " is of another model")));
  const absl::Span<float> parameters = model->parameters();
  return reader.ReadParameters({0, parameters.size()}, parameters);
}

absl::StatusOr<Scores> Evaluate(
    const data::Dataset& dataset, int64_t batch_size, Model* model,
    const std::function<absl::Status()>& keep_going) {
  TFD_ASSIGN_OR_RETURN(
      const data::BatchPlan plan,
      data::OnePassBatchPlan(dataset.info().records, batch_size));
  TFD_ASSIGN_OR_RETURN(
      const std::unique_ptr<data::Prefetcher> batches,
      data::Prefetcher::Start(&dataset, plan, data::PrefetcherOptions()));
  Scores scores;
  for (int64_t step = 0; step < plan.total_steps(); ++step) {
    TFD_RETURN_IF_ERROR(keep_going());
    TFD_ASSIGN_OR_RETURN(const data::Batch* batch,
                         batches->Next(kReadPatience));
    TFD_RETURN_IF_ERROR(model->Score(
        {batch->features(), batch->labels(), batch->size()}, &scores));
  }
  return scores;
}

}  // namespace tfd::worker
