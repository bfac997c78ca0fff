#include "worker/finisher.h"

#include <utility>
#include <variant>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status.h"
#include "common/units.h"
#include "spdlog/spdlog.h"
#include "worker/evaluation.h"
#include "worker/exporter.h"
#include "worker/model_file.h"

namespace tfd::worker {

absl::StatusOr<std::unique_ptr<Finisher>> Finisher::Create(
    FinisherOptions options, FinisherParts parts) {
  const std::string& uri = options.spec.storage().uri();
  TFD_ASSIGN_OR_RETURN(Location storage, ResolveUri(uri));
  TFD_ASSIGN_OR_RETURN(tensor::CheckpointStore store,
                       tensor::CheckpointStore::Open(uri));
  return absl::WrapUnique(new Finisher(std::move(options), std::move(parts),
                                       std::move(storage), std::move(store)));
}

Finisher::Finisher(FinisherOptions options, FinisherParts parts,
                   Location storage, tensor::CheckpointStore store)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      storage_(std::move(storage)),
      store_(std::move(store)) {}

absl::Status Finisher::Serve() {
  while (true) {
    TFD_ASSIGN_OR_RETURN(const Assignment assignment,
                         parts_.control->AwaitAssignment());
    TFD_RETURN_IF_ERROR(Handle(assignment));
  }
}

absl::Status Finisher::Handle(const Assignment& assignment) {
  v1::TaskMessage answer;
  if (const auto* evaluate = std::get_if<v1::Evaluate>(&assignment)) {
    const v1::CheckpointRef& checkpoint = evaluate->checkpoint();
    const auto known = evaluated_.find(checkpoint.uri());
    if (known == evaluated_.end()) {
      TFD_ASSIGN_OR_RETURN(evaluated_[checkpoint.uri()], Score(checkpoint));
    }
    *answer.mutable_evaluated() = evaluated_[checkpoint.uri()];
  } else {
    const auto& wanted = std::get<v1::Export>(assignment);
    const std::string& uri = wanted.checkpoint().uri();
    if (exported_.find(uri) == exported_.end()) {
      TFD_ASSIGN_OR_RETURN(exported_[uri], Write(wanted));
    }
    *answer.mutable_exported() = exported_[uri];
  }
  parts_.send(std::move(answer));
  return absl::OkStatus();
}

absl::Status Finisher::Load(const v1::CheckpointRef& checkpoint) {
  if (loaded_ == checkpoint.uri()) return absl::OkStatus();
  loaded_.clear();
  TFD_RETURN_IF_ERROR(LoadCheckpoint(store_, checkpoint, parts_.model));
  loaded_ = checkpoint.uri();
  return absl::OkStatus();
}

absl::StatusOr<v1::Evaluated> Finisher::Score(
    const v1::CheckpointRef& checkpoint) {
  if (parts_.validation == nullptr) {
    return absl::FailedPreconditionError(
        "asked to score a checkpoint of a job without validation data");
  }
  const absl::Time begin = absl::Now();
  TFD_RETURN_IF_ERROR(Load(checkpoint));
  TFD_ASSIGN_OR_RETURN(
      const Scores scores,
      Evaluate(*parts_.validation, EvaluationBatchSize(options_.spec),
               parts_.model, [this] { return parts_.control->status(); }));
  spdlog::info(
      "step {}: validation accuracy {:.4f}, loss {:.4f}, {} records "
      "in {}",
      checkpoint.step(), scores.accuracy(), scores.loss(), scores.records,
      tfd::FormatDuration(absl::Now() - begin));
  v1::Evaluated evaluated;
  evaluated.set_step(checkpoint.step());
  auto& values = *evaluated.mutable_values();
  values["accuracy"] = scores.accuracy();
  values["loss"] = scores.loss();
  values["records"] = static_cast<double>(scores.records);
  return evaluated;
}

absl::StatusOr<v1::Exported> Finisher::Write(const v1::Export& wanted) {
  TFD_RETURN_IF_ERROR(Load(wanted.checkpoint()));
  ModelDescription description;
  description.job = options_.job;
  description.generation = options_.generation;
  description.step = wanted.checkpoint().step();
  description.input = parts_.model->input();
  description.source_dtype = std::string(data::DtypeName(options_.input.dtype));
  description.classes = parts_.model->classes();
  description.preprocess = options_.input.preprocess;
  description.metrics.insert(wanted.metrics().begin(), wanted.metrics().end());
  v1::Exported exported;
  exported.set_step(description.step);
  TFD_ASSIGN_OR_RETURN(*exported.mutable_uri(),
                       WriteExport(storage_, description, parts_.model));
  spdlog::info("exported step {} to {}", exported.step(), exported.uri());
  return exported;
}

}  // namespace tfd::worker
