#include "worker/predict.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/status.h"
#include "common/units.h"
#include "data/batch_plan.h"
#include "data/dataset.h"
#include "data/file_format.h"
#include "data/image_features.h"
#include "data/prefetcher.h"
#include "worker/batch_predictor.h"
#include "worker/job_data.h"
#include "worker/model.h"
#include "worker/prediction_writer.h"
#include "worker/trained_model.h"

namespace tfd::worker {
namespace {

// What is not said is told by the name; MNIST's own have no ending.
absl::StatusOr<v1::DatasetSpec::Format> InputFormat(
    const PredictOptions& options) {
  if (!options.format.empty()) return data::FormatOfWord(options.format);
  return data::FormatOfName(options.input).value_or(v1::DatasetSpec::IDX);
}

absl::Status SetImage(const PredictOptions& options, v1::DatasetSpec* spec) {
  spec->set_bad_rows(options.bad_rows);
  if (options.image.empty()) return absl::OkStatus();
  v1::ImageSpec::Source source;
  if (!v1::ImageSpec::Source_Parse(absl::AsciiStrToUpper(options.image),
                                   &source)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--image ", options.image,
                     " is not known: a column of images holds bytes, path or "
                     "url"));
  }
  spec->mutable_image()->set_source(source);
  return absl::OkStatus();
}

absl::StatusOr<v1::DatasetSpec> InputSpec(const PredictOptions& options) {
  v1::DatasetSpec spec;
  TFD_ASSIGN_OR_RETURN(const v1::DatasetSpec::Format format,
                       InputFormat(options));
  spec.set_format(format);
  const bool columns =
      !options.label_column.empty() || !options.feature_columns.empty();
  if (format == v1::DatasetSpec::IDX) {
    spec.set_features(options.input);
    spec.set_labels(options.labels);
    if (!options.image.empty()) {
      return absl::InvalidArgumentError(
          "--image is for tables, and idx holds images that are decoded");
    }
    if (columns) {
      return absl::InvalidArgumentError(
          "--label-column and --feature-columns are for tables; idx has no "
          "columns, and its labels are a file: --labels");
    }
    return spec;
  }
  spec.set_path(options.input);
  TFD_RETURN_IF_ERROR(SetImage(options, &spec));
  if (!options.label_column.empty()) {
    (*spec.mutable_columns())["label"] = options.label_column;
  }
  if (!options.feature_columns.empty()) {
    (*spec.mutable_columns())["features"] = options.feature_columns;
  }
  if (!options.labels.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--labels is for idx; the labels of ", data::FormatWord(format),
        " are a column: --label-column"));
  }
  return spec;
}

absl::Status CheckOptions(const PredictOptions& options) {
  if (options.top_k < 1 || options.batch_size < 1 || options.threads < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--top-k ", options.top_k, ", --batch-size ", options.batch_size,
        " and --threads ", options.threads, " must all be at least 1"));
  }
  if (!options.bad_rows.empty() && options.image.empty()) {
    return absl::InvalidArgumentError(
        "--bad-rows is for images: say with --image what their column holds");
  }
  return absl::OkStatus();
}

// The model and the records, which fit each other.
struct Subject {
  std::unique_ptr<Model> model;
  std::unique_ptr<data::Dataset> dataset;
};

absl::StatusOr<Subject> Open(const PredictOptions& options) {
  TFD_RETURN_IF_ERROR(CheckOptions(options));
  TFD_ASSIGN_OR_RETURN(const v1::DatasetSpec spec, InputSpec(options));
  TFD_ASSIGN_OR_RETURN(TrainedModel trained,
                       OpenTrainedModel({options.model, options.top_k,
                                         options.layers, options.threads}));
  const ModelDescription& description = trained.description;
  data::OpenOptions open;
  open.name = "input";
  open.labels = data::Labels::kIfAny;
  open.record_shape = description.input;
  Subject subject;
  TFD_ASSIGN_OR_RETURN(
      subject.dataset,
      data::OpenDataset(spec, data::Preprocess(description.preprocess), open));
  absl::Status fits = CheckRecordsFit(*subject.dataset, description.input);
  if (!fits.ok()) {
    if (spec.format() != v1::DatasetSpec::IDX && options.label_column.empty()) {
      fits = absl::InvalidArgumentError(
          absl::StrCat(fits.message(),
                       "; if one of its columns is the label, name it with "
                       "--label-column"));
    }
    return fits;
  }
  subject.model = std::move(trained.model);
  return subject;
}

}  // namespace

std::string PredictSummary::ToText() const {
  const double rate = static_cast<double>(records) / std::max(seconds, 1e-9);
  std::string text =
      absl::StrCat(FormatCount(records), " records in ",
                   tfd::FormatDuration(absl::Seconds(seconds)), " (",
                   FormatCount(static_cast<int64_t>(rate)), " records/s)");
  return text + Remarks(accuracy, errors);
}

absl::StatusOr<PredictSummary> Predict(
    const PredictOptions& options,
    const std::function<absl::Status(int64_t done, int64_t records)>&
        progress) {
  TFD_ASSIGN_OR_RETURN(const Subject subject, Open(options));
  PredictionForm form;
  form.top_k = options.top_k;
  form.layers = subject.model->layers();
  form.errors = data::MaySkip(options.bad_rows);
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<PredictionWriter> writer,
                       PredictionWriter::Create(options.output, form));
  const data::DatasetInfo& info = subject.dataset->info();
  TFD_ASSIGN_OR_RETURN(
      const data::BatchPlan plan,
      data::OnePassBatchPlan(info.records, options.batch_size));
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<data::Prefetcher> batches,
                       data::Prefetcher::Start(subject.dataset.get(), plan,
                                               data::PrefetcherOptions()));
  const absl::Time begin = absl::Now();
  BatchPredictor predictor(subject.model.get(), options.top_k);
  for (int64_t step = 0; step < plan.total_steps(); ++step) {
    TFD_RETURN_IF_ERROR(
        progress(predictor.records(), static_cast<int64_t>(info.records)));
    TFD_ASSIGN_OR_RETURN(const data::Batch* batch,
                         batches->Next(kReadPatience));
    TFD_RETURN_IF_ERROR(predictor.Add(*batch, writer.get()));
  }
  TFD_RETURN_IF_ERROR(writer->Finish());
  PredictSummary summary;
  summary.records = predictor.records();
  summary.seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  summary.errors = predictor.errors();
  summary.accuracy = predictor.Accuracy(info);
  return summary;
}

}  // namespace tfd::worker
