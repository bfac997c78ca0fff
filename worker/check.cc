#include "worker/check.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "data/batch_plan.h"
#include "data/dataset.h"
#include "worker/job_data.h"
#include "worker/model.h"
#include "worker/predict_parts.h"
#include "worker/trained_model.h"

namespace tfd::worker {
namespace {

// Records whose labels are looked at, and with which the model is tried.
constexpr uint64_t kHeadRecords = 1000;
constexpr uint64_t kTrialRecords = 8;

bool IsPushed(const v1::DatasetSpec& spec) {
  return spec.format() == v1::DatasetSpec::PUSHED;
}

absl::StatusOr<std::vector<v1::Partition>> NoPartitions(
    const std::string& dataset) {
  return absl::InternalError(
      absl::StrCat("the pushed dataset ", dataset, " cannot be checked ahead"));
}

// Looks at the first images, unless somebody else's server has them: that they
// are what the spec says.
absl::Status TryImages(const v1::DatasetSpec& spec,
                       const data::Dataset& dataset) {
  if (!spec.has_image() || spec.image().source() == v1::ImageSpec::URL) {
    return absl::OkStatus();
  }
  std::vector<uint64_t> numbers(
      std::min<uint64_t>(kTrialRecords, dataset.info().records));
  std::iota(numbers.begin(), numbers.end(), uint64_t{0});
  data::Batch batch;
  return dataset.ReadBatch(numbers, &batch);
}

// One check after the other; collects everything that is wrong.
class Check {
 public:
  explicit Check(const v1::JobSpec& spec) : spec_(spec) {}

  CheckResult Run();

 private:
  void Add(const std::string& what, const absl::Status& status);
  std::unique_ptr<data::Dataset> Take(
      const std::string& name,
      absl::StatusOr<std::unique_ptr<data::Dataset>> dataset);
  void CheckPrediction();
  void CheckPlan(uint64_t records);
  void CheckModel(const data::Dataset* training,
                  const data::Dataset* validation);
  void Try(const data::Dataset& dataset, bool train, Model* model);

  const v1::JobSpec& spec_;
  CheckResult result_;
};

void Check::Add(const std::string& what, const absl::Status& status) {
  if (status.ok()) return;
  result_.problems.push_back(absl::StrCat(what, ": ", status.message()));
}

// The dataset, its labels looked at; null where it cannot be opened.
std::unique_ptr<data::Dataset> Check::Take(
    const std::string& name,
    absl::StatusOr<std::unique_ptr<data::Dataset>> dataset) {
  if (!dataset.ok()) {
    Add(absl::StrCat("data.", name), dataset.status());
    return nullptr;
  }
  Add(absl::StrCat("data.", name),
      data::HeadLabels(**dataset, kHeadRecords).status());
  return *std::move(dataset);
}

void Check::CheckPlan(uint64_t records) {
  const int64_t slots = std::max(1, spec_.tasks().worker().count());
  const absl::StatusOr<data::BatchPlan> plan =
      data::TrainingBatchPlan(spec_, records, slots);
  if (!plan.ok()) {
    Add("data.train", plan.status());
    return;
  }
  result_.steps_per_epoch = plan->steps_per_epoch();
  result_.total_steps = plan->total_steps();
  result_.batch_size = plan->batch_size();
  result_.global_batch_size = plan->batch_size() * slots;
}

void Check::Try(const data::Dataset& dataset, bool train, Model* model) {
  std::vector<uint64_t> numbers(
      std::min<uint64_t>(kTrialRecords, dataset.info().records));
  std::iota(numbers.begin(), numbers.end(), uint64_t{0});
  data::Batch batch;
  if (!dataset.ReadBatch(numbers, &batch).ok()) return;  // labels said it
  const Records records = {batch.features(), batch.labels(), batch.size()};
  if (train) {
    Add("model", model->ComputeGradient(records, spec_.seed()).status());
  } else {
    Scores scores;
    Add("model on data.validation", model->Score(records, &scores));
  }
}

void Check::CheckModel(const data::Dataset* training,
                       const data::Dataset* validation) {
  ModelOptions options;
  options.spec = spec_.model();
  options.seed = spec_.seed();
  options.fail_on_nan = spec_.exchange().nan() == v1::ExchangeSpec::FAIL;
  const data::Dataset* shape_of = training != nullptr ? training : validation;
  if (shape_of != nullptr) {
    options.record_shape = shape_of->info().shape;
  } else if (spec_.model().input_size() > 0) {
    options.record_shape.assign(spec_.model().input().begin(),
                                spec_.model().input().end());
  } else {
    return;  // the shape comes with the pushed data
  }
  absl::StatusOr<std::unique_ptr<Model>> model = Model::Create(options);
  if (!model.ok()) {
    Add("model", model.status());
    return;
  }
  result_.parameters = static_cast<int64_t>((*model)->parameters().size());
  if (training != nullptr) Try(*training, /*train=*/true, model->get());
  if (validation == nullptr) return;
  const absl::Status fits = CheckRecordsFit(*validation, (*model)->input());
  Add("data.validation", fits);
  if (fits.ok() && result_.problems.empty()) {
    Try(*validation, /*train=*/false, model->get());
  }
}

// Opens the trained model and the input.
void Check::CheckPrediction() {
  const v1::PredictSpec& spec = spec_.predict();
  constexpr int kThreads = 1;
  const absl::StatusOr<TrainedModel> trained =
      OpenTrainedModel(TrainedModelOptionsOf(spec, kThreads));
  if (!trained.ok()) return Add("predict.model", trained.status());
  result_.classes = trained->description.classes;
  Add("predict.labels",
      ReadLabelNames(spec.labels(), result_.classes).status());
  if (spec.has_image()) {
    Add("predict", PushedImages(spec.image(), trained->description).status());
  }
  if (!spec.has_input()) return;
  data::OpenOptions open;
  open.name = "predict.input";
  open.labels = data::Labels::kIfAny;
  open.record_shape = trained->description.input;
  const absl::StatusOr<std::unique_ptr<data::Dataset>> input =
      data::OpenDataset(spec.input(),
                        data::Preprocess(trained->description.preprocess),
                        open);
  if (!input.ok()) return Add("predict.input", input.status());
  result_.records = static_cast<int64_t>((*input)->info().records);
  Add("predict.input", CheckRecordsFit(**input, trained->description.input));
  Add("predict.input", TryImages(spec.input(), **input));
  Add("predict.output",
      CheckOutput(spec, trained->description, (*input)->info().records));
}

CheckResult Check::Run() {
  if (spec_.has_predict()) {
    CheckPrediction();
    return std::move(result_);
  }
  SetComputeThreads(1);
  result_.classes = spec_.model().classes();
  std::unique_ptr<data::Dataset> training;
  std::unique_ptr<data::Dataset> validation;
  if (!IsPushed(spec_.data().train())) {
    training = Take("train", OpenTraining(spec_, {NoPartitions, nullptr}));
  }
  if (HasValidation(spec_) && !IsPushed(spec_.data().validation())) {
    const data::PreprocessSteps steps =
        training != nullptr
            ? training->info().preprocess
            : data::ResolvePreprocess(spec_.data(), data::Dtype::kFloat32);
    validation = Take("validation",
                      OpenValidation(spec_, steps, {NoPartitions, nullptr}));
  }
  if (training != nullptr) {
    result_.records = static_cast<int64_t>(training->info().records);
    CheckPlan(training->info().records);
  }
  if (validation != nullptr) {
    result_.validation_records =
        static_cast<int64_t>(validation->info().records);
  }
  CheckModel(training.get(), validation.get());
  return std::move(result_);
}

}  // namespace

std::string CheckResult::ToJson() const {
  const nlohmann::ordered_json json = {
      {"records", records},
      {"validation_records", validation_records},
      {"classes", classes},
      {"parameters", parameters},
      {"steps_per_epoch", steps_per_epoch},
      {"total_steps", total_steps},
      {"batch_size", batch_size},
      {"global_batch_size", global_batch_size},
  };
  return json.dump();
}

absl::StatusOr<v1::JobSpec> ParseJobSpec(const std::string& bytes) {
  v1::JobSpec spec;
  const absl::string_view text = absl::StripAsciiWhitespace(bytes);
  if (absl::StartsWith(text, "{")) {
    const auto parsed =
        google::protobuf::util::JsonStringToMessage(std::string(text), &spec);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the job spec is no valid JSON: ", std::string(parsed.message())));
    }
    return spec;
  }
  if (bytes.empty() || !spec.ParseFromString(bytes)) {
    return absl::InvalidArgumentError(
        "the job spec is neither JSON nor a serialized tfd.v1.JobSpec (YAML is "
        "for tfd validate)");
  }
  return spec;
}

CheckResult CheckJob(const v1::JobSpec& spec) { return Check(spec).Run(); }

}  // namespace tfd::worker
