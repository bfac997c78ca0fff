// What the fields of `data` mean for each other.
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/nearest_name.h"
#include "common/spec/relations.h"

namespace tfd::spec {
namespace {

using v1::DatasetSpec;

constexpr char kFeaturesColumn[] = "features";
constexpr char kLabelColumn[] = "label";
constexpr char kFail[] = "fail";
constexpr char kFill[] = "fill:";
constexpr int kGrey = 1;
constexpr int kColour = 3;

bool HasColumns(DatasetSpec::Format format) {
  switch (format) {
    case DatasetSpec::CSV:
    case DatasetSpec::PUSHED:
    case DatasetSpec::PARQUET:
    case DatasetSpec::ARROW:
    case DatasetSpec::TFRECORD:
      return true;
    default:
      return false;
  }
}

void CheckColumns(const DatasetSpec& dataset, const std::string& path,
                  Reporter* reporter) {
  const std::string columns = path + ".columns";
  const bool pushed = dataset.format() == DatasetSpec::PUSHED;
  for (const auto& [role, column] : dataset.columns()) {
    if (role == kFeaturesColumn || role == kLabelColumn) continue;
    const std::string field = absl::StrCat(columns, ".", role);
    if (column == kFeaturesColumn || column == kLabelColumn) {
      reporter->Report(field, absl::StrCat("is the wrong way round: write ",
                                           column, ": ", role));
      continue;
    }
    const std::string nearest =
        NearestName(role, {kFeaturesColumn, kLabelColumn});
    reporter->Report(
        field, absl::StrCat("is not known; ",
                            nearest.empty()
                                ? "columns are features and label"
                                : absl::StrCat("did you mean ", nearest, "?")));
  }
  const auto need = [&](const char* role) {
    auto found = dataset.columns().find(role);
    if (found != dataset.columns().end() && !found->second.empty()) return;
    reporter->Report(
        absl::StrCat(columns, ".", role),
        absl::StrCat(
            "is required for the format ",
            absl::AsciiStrToLower(DatasetSpec::Format_Name(dataset.format())),
            ": write columns: {",
            pushed ? "features: NAME, label: NAME" : "label: NAME",
            "} with the names of the columns"));
  };
  if (pushed) need(kFeaturesColumn);
  need(kLabelColumn);
}

// Datasets that a model learns from or is judged by.
void CheckLabels(const DatasetSpec& dataset, const std::string& path,
                 Reporter* reporter) {
  if (dataset.format() == DatasetSpec::IDX && dataset.labels().empty()) {
    reporter->Report(path + ".labels", "is required: text", {path + ".format"});
  }
  if (dataset.bad_rows() != kFail && !dataset.bad_rows().empty()) {
    reporter->Report(path + ".bad_rows",
                     "is only for predict.input, whose answers say which rows "
                     "were bad: a model learns from all rows, so take the bad "
                     "ones out");
  }
  if (!dataset.has_image()) return;
  if (!dataset.image().has_height() && !dataset.image().has_width()) {
    reporter->Report(path + ".image",
                     "needs the size that images are brought to: write "
                     "{height: 224, width: 224} with the numbers wanted");
  }
}

void CheckGlobalBatch(const v1::JobSpec& spec, Reporter* reporter) {
  const DatasetSpec& train = spec.data().train();
  const int workers = spec.tasks().worker().count();
  if (!train.has_global_batch_size() || workers < 1) return;
  const int64_t size = train.global_batch_size();
  if (size % workers == 0) return;
  const int64_t below = size / workers * workers;
  reporter->Report(
      "data.train.global_batch_size",
      absl::StrCat(size, " does not divide evenly by ", workers, " workers; ",
                   below > 0 ? absl::StrCat(below, " or ") : "",
                   below + workers, " does"),
      {"tasks.worker.count"});
}

void CheckDatasets(const v1::JobSpec& spec, Reporter* reporter) {
  const DatasetSpec& train = spec.data().train();
  const DatasetSpec& validation = spec.data().validation();
  if (spec.data().has_train()) {
    if (train.has_batch_size() && train.has_global_batch_size()) {
      reporter->Report("data.train.global_batch_size",
                       "is given and so is batch_size; one follows from the "
                       "other and the number of workers, remove one",
                       {"data.train.batch_size"});
    }
    if (!train.has_batch_size() && !train.has_global_batch_size()) {
      reporter->Report("data.train.batch_size",
                       "is required: how many records a worker takes in a "
                       "step, for example 64 (or global_batch_size, of all "
                       "workers together)",
                       {"data.train.global_batch_size"});
    }
    CheckGlobalBatch(spec, reporter);
  }
  if (validation.has_global_batch_size()) {
    reporter->Report("data.validation.global_batch_size",
                     "is only for train, as one task scores checkpoints; write "
                     "batch_size");
  }
  for (const auto& [dataset, path] :
       {std::make_pair(&train, "data.train"),
        std::make_pair(&validation, "data.validation")}) {
    if (HasColumns(dataset->format())) CheckColumns(*dataset, path, reporter);
    CheckLabels(*dataset, path, reporter);
    CheckImages(*dataset, path, reporter);
  }
}

// Data that grows while the job trains on it has a length that nobody knows
// before.
void CheckGrowth(const v1::JobSpec& spec, Reporter* reporter) {
  const DatasetSpec& train = spec.data().train();
  const DatasetSpec& validation = spec.data().validation();
  const bool seals = train.publish() == DatasetSpec::SEAL;
  if (validation.stream() || validation.publish() == DatasetSpec::SEAL) {
    reporter->Report(
        validation.stream() ? "data.validation.stream"
                            : "data.validation.publish",
        "is only for train: what checkpoints are judged by must be there as a "
        "whole; remove it");
  }
  if (!train.stream() && !seals) return;
  const char* field =
      train.stream() ? "data.train.stream" : "data.train.publish";
  if (train.stream() && seals) {
    reporter->Report("data.train.publish",
                     "a stream is published with every batch that a producer "
                     "commits; remove publish or stream",
                     {"data.train.stream"});
  }
  if (train.stream() && spec.stop().has_epochs() && spec.stop().epochs() != 1) {
    reporter->Report("stop.epochs",
                     absl::StrCat(spec.stop().epochs(),
                                  " passes over a stream are not possible, its "
                                  "rows are gone after the first: write 1, or "
                                  "stop: {steps: …}"),
                     {"data.train.stream"});
  }
  const v1::ScheduleSpec::Name schedule = spec.optimizer().schedule().name();
  if ((schedule == v1::ScheduleSpec::COSINE ||
       schedule == v1::ScheduleSpec::ONE_CYCLE) &&
      !spec.stop().has_steps()) {
    reporter->Report(
        "optimizer.schedule.name",
        "needs to know how long training is, which nobody does while the data "
        "still grows: give stop.steps, or take the schedule constant",
        {field, "stop.steps"});
  }
  if (spec.deterministic() && seals) {
    reporter->Report("data.train.publish",
                     "seal does not go with deterministic: the order of the "
                     "first epoch is that in which partitions happen to be "
                     "sealed; use publish: commit",
                     {"deterministic"});
  }
}

void CheckPreprocess(const v1::JobSpec& spec, Reporter* reporter) {
  for (int i = 0; i < spec.data().preprocess_size(); ++i) {
    const v1::PreprocessStep& step = spec.data().preprocess(i);
    const std::string path = absl::StrCat("data.preprocess[", i, "]");
    if (step.step_case() == v1::PreprocessStep::STEP_NOT_SET) {
      reporter->Report(path,
                       "does nothing: write {scale: 0.5} or {normalise: "
                       "{mean: 0.1307, std: 0.3081}}",
                       {path + ".scale", path + ".normalise"});
    } else if (step.has_scale() && step.scale() == 0) {
      reporter->Report(path + ".scale",
                       "0 would make all features equal; 8-bit images are "
                       "scaled by 0.00392156862745098 (1/255)");
    }
  }
}

}  // namespace

void CheckImage(const v1::ImageSpec& image, const std::string& path,
                Reporter* reporter) {
  if (image.has_channels() && image.channels() != kGrey &&
      image.channels() != kColour) {
    reporter->Report(path + ".channels",
                     absl::StrCat(image.channels(),
                                  " is not allowed: it must be 1 (grey) or 3 "
                                  "(red, green, blue)"));
  }
  if (image.has_height() != image.has_width()) {
    reporter->Report(
        absl::StrCat(path, ".", image.has_height() ? "width" : "height"),
        "is missing: height and width are given together, or both left to the "
        "model");
  }
}

void CheckImages(const DatasetSpec& dataset, const std::string& path,
                 Reporter* reporter) {
  if (dataset.has_image() && absl::StartsWith(dataset.nulls(), kFill)) {
    reporter->Report(path + ".nulls",
                     "fill is for numbers, and this column is of images: write "
                     "drop, or refuse",
                     {path + ".image"});
  }
  if (dataset.has_image()) {
    CheckImage(dataset.image(), path + ".image", reporter);
  } else if (!dataset.bad_rows().empty() && dataset.bad_rows() != kFail) {
    reporter->Report(path + ".bad_rows",
                     "is for images: say with image what the column holds, or "
                     "remove it");
  }
}

void CheckDataRelations(const v1::JobSpec& spec, Reporter* reporter) {
  CheckDatasets(spec, reporter);
  CheckGrowth(spec, reporter);
  CheckPreprocess(spec, reporter);
}

}  // namespace tfd::spec
