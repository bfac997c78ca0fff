#include "worker/trained_model.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/fs/file_system.h"
#include "common/status.h"
#include "worker/models/definition.h"

namespace tfd::worker {

TrainedModelOptions TrainedModelOptionsOf(const v1::PredictSpec& spec,
                                          int threads) {
  TrainedModelOptions options;
  options.path = spec.model();
  options.top_k = spec.top_k();
  options.layers.assign(spec.outputs().begin(), spec.outputs().end());
  options.threads = threads;
  return options;
}

absl::StatusOr<TrainedModel> OpenTrainedModel(
    const TrainedModelOptions& options) {
  TFD_ASSIGN_OR_RETURN(const Location place, FindExport(options.path));
  const std::string file = JoinPath(place.path, kModelFile);
  TFD_ASSIGN_OR_RETURN(const std::string text,
                       ReadFile(*place.file_system, file));
  TrainedModel trained;
  TFD_ASSIGN_OR_RETURN(trained.description, ParseModelDescription(text, file));
  if (options.top_k > trained.description.classes) {
    return absl::InvalidArgumentError(
        absl::StrCat("top_k is ", options.top_k, ", and the model has ",
                     trained.description.classes, " classes"));
  }
  SetComputeThreads(options.threads);
  TFD_ASSIGN_OR_RETURN(
      trained.model, Model::LoadExport(JoinPath(place.path, kScriptFile),
                                       trained.description.input,
                                       trained.description.classes, Device()));
  TFD_RETURN_IF_ERROR(
      Annotate(trained.model->TapLayers(options.layers), "outputs"));
  return trained;
}

absl::StatusOr<data::ImageForm> PushedImages(const v1::ImageSpec& spec,
                                             const ModelDescription& model) {
  TFD_ASSIGN_OR_RETURN(data::ImageForm form,
                       data::ImageFormOf(spec, model.input));
  if (form.elements() == ShapeElements(model.input)) return form;
  return absl::InvalidArgumentError(
      absl::StrCat("image: images become ", ShapeText(form.shape()),
                   ", and the model takes ", ShapeText(model.input)));
}

absl::StatusOr<std::vector<std::string>> ReadLabelNames(const std::string& path,
                                                        int64_t classes) {
  std::vector<std::string> names;
  if (path.empty()) return names;
  TFD_ASSIGN_OR_RETURN(const Location place, ResolveUri(path));
  TFD_ASSIGN_OR_RETURN(const std::string text,
                       ReadFile(*place.file_system, place.path));
  for (absl::string_view line :
       absl::StrSplit(absl::StripTrailingAsciiWhitespace(text), '\n')) {
    names.emplace_back(absl::StripAsciiWhitespace(line));
  }
  if (static_cast<int64_t>(names.size()) != classes) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " has ", names.size(), " lines, and the model has ", classes,
        " classes: write the name of each label on a line of its own, from "
        "label 0 on"));
  }
  return names;
}

}  // namespace tfd::worker
