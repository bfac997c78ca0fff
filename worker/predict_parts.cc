#include "worker/predict_parts.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/fs/file_system.h"
#include "common/status.h"
#include "common/units.h"
#include "data/batch_plan.h"
#include "data/dataset.h"
#include "data/image_features.h"
#include "data/prefetcher.h"
#include "spdlog/spdlog.h"
#include "worker/batch_predictor.h"
#include "worker/job_data.h"
#include "worker/prediction_writer.h"
#include "worker/trained_model.h"

namespace tfd::worker {
namespace {

// Parts are of whole batches.
int64_t StepsPerPart(const v1::PredictSpec& spec) {
  const int64_t batch = spec.input().batch_size();
  return (spec.part_records() + batch - 1) / batch;
}

// All that decides what is in the parts.
std::string DescribeOutput(const v1::PredictSpec& spec,
                           const ModelDescription& model, uint64_t records) {
  std::string input;
  google::protobuf::util::MessageToJsonString(spec.input(), &input).ok();
  nlohmann::ordered_json json;
  json["model"] = {{"job", model.job},
                   {"generation", model.generation},
                   {"step", model.step}};
  json["input"] = nlohmann::ordered_json::parse(input);
  json["records"] = records;
  json["part_records"] = StepsPerPart(spec) * spec.input().batch_size();
  json["format"] = v1::PredictSpec::Format_Name(spec.format());
  json["top_k"] = spec.top_k();
  json["labels"] = spec.labels();
  if (spec.outputs_size() > 0) {
    json["outputs"] =
        std::vector<std::string>(spec.outputs().begin(), spec.outputs().end());
  }
  return json.dump(2) + "\n";
}

// Whether what is in the folder is of that description; false where nothing is.
absl::StatusOr<bool> IsOurs(const Location& output,
                            const std::string& description) {
  const std::string path = JoinPath(output.path, kPredictionsFile);
  const absl::StatusOr<std::string> there = ReadFile(*output.file_system, path);
  if (absl::IsNotFound(there.status())) return false;
  if (!there.ok()) return there.status();
  if (*there == description) return true;
  return absl::FailedPreconditionError(
      absl::StrCat(output.path,
                   " has the answers of another model, to other records, or in "
                   "another form (",
                   path,
                   " says of which): name another folder (--set "
                   "predict.output=FOLDER) or delete it"));
}

// The folder is this job's, or one's with the same answers.
absl::Status ClaimOutput(const Location& output,
                         const std::string& description) {
  TFD_RETURN_IF_ERROR(output.file_system->CreateFolder(output.path));
  TFD_ASSIGN_OR_RETURN(const bool ours, IsOurs(output, description));
  // Each worker writes the same.
  return ours ? absl::OkStatus()
              : WriteFileAtomically(*output.file_system,
                                    JoinPath(output.path, kPredictionsFile),
                                    description);
}

class PartsRun {
 public:
  PartsRun(const PartsOptions& options,
           const std::function<absl::Status(const PartsProgress&)>& progress)
      : options_(options), progress_(progress) {}

  absl::Status Run() {
    TFD_RETURN_IF_ERROR(Open());
    const absl::Time begin = absl::Now();
    const int64_t first = state_.parts * options_.worker / options_.workers;
    const int64_t end = state_.parts * (options_.worker + 1) / options_.workers;
    state_.own_parts = end - first;
    TFD_RETURN_IF_ERROR(progress_(state_));
    int64_t found = 0;
    for (int64_t part = first; part < end; ++part) {
      const std::string path =
          JoinPath(output_.path, PartName(part, options_.spec.format()));
      if (output_.file_system->Stat(path).ok()) {
        ++found;
      } else {
        TFD_RETURN_IF_ERROR(Annotate(Predict(part, path), path));
      }
      ++state_.done_parts;
      state_.seconds = absl::ToDoubleSeconds(absl::Now() - begin);
      TFD_RETURN_IF_ERROR(progress_(state_));
    }
    spdlog::info(
        "answered {} records in {}{}; {} of {} parts were there before",
        FormatCount(state_.done_records),
        tfd::FormatDuration(absl::Now() - begin),
        Remarks(predictor_->Accuracy(dataset_->info()), predictor_->errors()),
        found, state_.own_parts);
    return absl::OkStatus();
  }

 private:
  absl::Status Open() {
    const v1::PredictSpec& spec = options_.spec;
    TFD_ASSIGN_OR_RETURN(model_, OpenTrainedModel(TrainedModelOptionsOf(
                                     spec, options_.threads)));
    predictor_.emplace(model_.model.get(), spec.top_k());
    TFD_ASSIGN_OR_RETURN(
        names_, ReadLabelNames(spec.labels(), model_.description.classes));
    data::OpenOptions open;
    open.name = "predict.input";
    open.labels = data::Labels::kIfAny;
    open.record_shape = model_.description.input;
    TFD_ASSIGN_OR_RETURN(
        dataset_, data::OpenDataset(
                      spec.input(),
                      data::Preprocess(model_.description.preprocess), open));
    TFD_RETURN_IF_ERROR(CheckRecordsFit(*dataset_, model_.description.input));
    const int64_t batch = spec.input().batch_size();
    steps_per_part_ = StepsPerPart(spec);
    state_.part_records = steps_per_part_ * batch;
    state_.records = static_cast<int64_t>(dataset_->info().records);
    state_.parts =
        (state_.records + state_.part_records - 1) / state_.part_records;
    TFD_ASSIGN_OR_RETURN(
        plan_, data::OnePassBatchPlan(dataset_->info().records, batch));
    TFD_ASSIGN_OR_RETURN(output_, ResolveUri(spec.output()));
    return ClaimOutput(output_, DescribeOutput(spec, model_.description,
                                               dataset_->info().records));
  }

  // Batches from the part's first on; those of the part before are followed by
  // this one's.
  absl::Status Seek(int64_t step) {
    if (batches_ != nullptr && next_step_ == step) return absl::OkStatus();
    data::PrefetcherOptions options;
    options.first_step = step;
    batches_.reset();
    TFD_ASSIGN_OR_RETURN(
        batches_, data::Prefetcher::Start(dataset_.get(), *plan_, options));
    next_step_ = step;
    return absl::OkStatus();
  }

  absl::Status Predict(int64_t part, const std::string& path) {
    const int64_t first_step = part * steps_per_part_;
    const int64_t end_step =
        std::min(first_step + steps_per_part_, plan_->total_steps());
    TFD_RETURN_IF_ERROR(Seek(first_step));
    PredictionForm form;
    form.top_k = options_.spec.top_k();
    form.first_row = part * state_.part_records;
    form.names = names_;
    form.layers = model_.model->layers();
    form.errors = data::MaySkip(options_.spec.input().bad_rows());
    TFD_ASSIGN_OR_RETURN(const std::unique_ptr<PredictionWriter> writer,
                         PredictionWriter::Create(path, form));
    for (; next_step_ < end_step; ++next_step_) {
      TFD_RETURN_IF_ERROR(progress_(state_));
      TFD_ASSIGN_OR_RETURN(const data::Batch* batch,
                           batches_->Next(kReadPatience));
      TFD_RETURN_IF_ERROR(predictor_->Add(*batch, writer.get()));
      state_.done_records = predictor_->records();
    }
    return writer->Finish();
  }

  const PartsOptions& options_;
  const std::function<absl::Status(const PartsProgress&)>& progress_;
  TrainedModel model_;
  std::optional<BatchPredictor> predictor_;
  std::vector<std::string> names_;
  std::unique_ptr<data::Dataset> dataset_;
  Location output_ = {nullptr, ""};
  std::optional<data::BatchPlan> plan_;
  int64_t steps_per_part_ = 0;
  std::unique_ptr<data::Prefetcher> batches_;
  int64_t next_step_ = 0;
  PartsProgress state_;
};

}  // namespace

std::string PartName(int64_t part, v1::PredictSpec::Format format) {
  const char* ending = "jsonl";
  if (format == v1::PredictSpec::CSV) ending = "csv";
  if (format == v1::PredictSpec::PARQUET) ending = "parquet";
  return absl::StrFormat("part-%05d.%s", part, ending);
}

absl::Status CheckOutput(const v1::PredictSpec& spec,
                         const ModelDescription& model, uint64_t records) {
  TFD_ASSIGN_OR_RETURN(const Location output, ResolveUri(spec.output()));
  return IsOurs(output, DescribeOutput(spec, model, records)).status();
}

absl::Status PredictParts(
    const PartsOptions& options,
    const std::function<absl::Status(const PartsProgress&)>& progress) {
  return PartsRun(options, progress).Run();
}

}  // namespace tfd::worker
