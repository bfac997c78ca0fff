#include "worker/trained_model.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/fs/file_system.h"
#include "common/status.h"

namespace tfd::worker {

absl::StatusOr<TrainedModel> OpenTrainedModel(const std::string& path,
                                              int64_t top_k, int threads) {
  TFD_ASSIGN_OR_RETURN(const Location place, FindExport(path));
  const std::string file = JoinPath(place.path, kModelFile);
  TFD_ASSIGN_OR_RETURN(const std::string text,
                       ReadFile(*place.file_system, file));
  TrainedModel trained;
  TFD_ASSIGN_OR_RETURN(trained.description, ParseModelDescription(text, file));
  if (top_k > trained.description.classes) {
    return absl::InvalidArgumentError(
        absl::StrCat("top_k is ", top_k, ", and the model has ",
                     trained.description.classes, " classes"));
  }
  SetComputeThreads(threads);
  TFD_ASSIGN_OR_RETURN(
      trained.model, Model::LoadExport(JoinPath(place.path, kScriptFile),
                                       trained.description.input,
                                       trained.description.classes, Device()));
  return trained;
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
