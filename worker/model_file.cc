#include "worker/model_file.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/version.h"

namespace tfd::worker {
namespace {

using Json = nlohmann::ordered_json;

Json StepToJson(const v1::PreprocessStep& step) {
  std::string text;
  google::protobuf::util::MessageToJsonString(step, &text).ok();
  return Json::parse(text);
}

// Reads fields of one JSON object; the first problem is kept.
class ObjectReader {
 public:
  ObjectReader(const Json& object, std::string name)
      : object_(object), name_(std::move(name)) {
    if (!object_.is_object()) Fail("", "is not a JSON object");
  }

  template <typename Value>
  Value Get(const char* field) {
    Value value{};
    if (!status_.ok()) return value;
    const auto found = object_.find(field);
    if (found == object_.end()) {
      Fail(field, "is missing");
      return value;
    }
    try {
      found->get_to(value);
    } catch (const nlohmann::json::exception&) {
      Fail(field,
           absl::StrCat("is ", found->dump(), ", which is no such value"));
    }
    return value;
  }

  void Fail(const std::string& field, const std::string& problem) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(absl::StrCat(
        name_, ": ", field, field.empty() ? "" : " ", problem,
        "; it is not a model.json that tfd has written, or it is damaged"));
  }
  const absl::Status& status() const { return status_; }

 private:
  const Json& object_;
  std::string name_;
  absl::Status status_;
};

void ReadInput(ObjectReader& reader, ModelDescription* description) {
  const auto inputs = reader.Get<Json>("inputs");
  if (!reader.status().ok()) return;
  if (!inputs.is_array() || inputs.size() != 1 || !inputs[0].is_object() ||
      !inputs[0].contains("shape")) {
    reader.Fail("inputs", "is not a list of one input with a shape");
    return;
  }
  try {
    inputs[0]["shape"].get_to(description->input);
  } catch (const nlohmann::json::exception&) {
    reader.Fail("inputs[0].shape", "is not a list of numbers");
    return;
  }
  for (const int64_t size : description->input) {
    if (size < 1) reader.Fail("inputs[0].shape", "has a number below 1");
  }
}

void ReadPreprocess(ObjectReader& reader, ModelDescription* description) {
  const auto steps = reader.Get<Json>("preprocess");
  if (!reader.status().ok()) return;
  for (const Json& step : steps) {
    v1::PreprocessStep message;
    const auto parsed =
        google::protobuf::util::JsonStringToMessage(step.dump(), &message);
    if (!parsed.ok() ||
        message.step_case() == v1::PreprocessStep::STEP_NOT_SET) {
      reader.Fail("preprocess", absl::StrCat("has a step ", step.dump(),
                                             " that is not known"));
      return;
    }
    description->preprocess.push_back(std::move(message));
  }
}

}  // namespace

std::string ToJson(const ModelDescription& description) {
  Json preprocess = Json::array();
  for (const v1::PreprocessStep& step : description.preprocess) {
    preprocess.push_back(StepToJson(step));
  }
  const Json json = {
      {"format_version", kModelFormatVersion},
      {"tfd_version", kVersion},
      {"job", description.job},
      {"generation", description.generation},
      {"step", description.step},
      {"files", {{"torchscript", kScriptFile}, {"weights", kWeightsFile}}},
      {"inputs",
       {{{"name", "features"},
         {"shape", description.input},
         {"dtype", "float32"},
         {"source_dtype", description.source_dtype}}}},
      {"outputs",
       {{{"name", "logits"},
         {"shape", {description.classes}},
         {"dtype", "float32"}}}},
      {"classes", description.classes},
      {"preprocess", preprocess},
      {"metrics", description.metrics},
  };
  return json.dump(2) + "\n";
}

absl::StatusOr<ModelDescription> ParseModelDescription(
    const std::string& text, const std::string& name) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  ObjectReader reader(json, name);
  const int version = reader.Get<int>("format_version");
  TFD_RETURN_IF_ERROR(reader.status());
  if (version > kModelFormatVersion) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, " has format version ", version, ", and this tfd (", kVersion,
        ") reads up to ", kModelFormatVersion, ": use a newer tfd"));
  }
  ModelDescription description;
  description.job = reader.Get<std::string>("job");
  description.generation = reader.Get<uint64_t>("generation");
  description.step = reader.Get<int64_t>("step");
  description.classes = reader.Get<int64_t>("classes");
  description.metrics = reader.Get<std::map<std::string, double>>("metrics");
  ReadInput(reader, &description);
  ReadPreprocess(reader, &description);
  if (description.classes < 1) reader.Fail("classes", "is below 1");
  TFD_RETURN_IF_ERROR(reader.status());
  return description;
}

absl::StatusOr<Location> FindExport(const std::string& path) {
  TFD_ASSIGN_OR_RETURN(Location location, ResolveUri(path));
  constexpr absl::string_view kSuffix = "/model.json";
  if (absl::EndsWith(location.path, kSuffix)) {
    location.path.resize(location.path.size() - kSuffix.size());
  }
  const absl::StatusOr<FileInfo> stat =
      location.file_system->Stat(location.path);
  TFD_RETURN_IF_ERROR(stat.status());
  for (const std::string& folder :
       {location.path, JoinPath(location.path, "export")}) {
    if (location.file_system->Stat(JoinPath(folder, kModelFile)).ok()) {
      return Location{location.file_system, folder};
    }
  }
  return absl::NotFoundError(
      absl::StrCat("there is no exported model in ", path, ": neither ",
                   kModelFile, " nor export/", kModelFile,
                   " is there; give the export folder of a job "
                   "that has succeeded"));
}

}  // namespace tfd::worker
