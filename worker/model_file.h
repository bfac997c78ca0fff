// model.json: what an export says about itself, so that whoever uses the model
// feeds it as it was trained.
#ifndef TFD_WORKER_MODEL_FILE_H_
#define TFD_WORKER_MODEL_FILE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/fs/file_system.h"
#include "data/preprocess.h"

namespace tfd::worker {

// The version of model.json that is written, and the newest that is read.
inline constexpr int kModelFormatVersion = 1;

// The files of an export.
inline constexpr char kModelFile[] = "model.json";
inline constexpr char kScriptFile[] = "model.pt";
inline constexpr char kWeightsFile[] = "model.safetensors";

struct ModelDescription {
  std::string job;
  uint64_t generation = 0;
  int64_t step = 0;
  // Of one record as the model takes it, float32.
  std::vector<int64_t> input;
  // The type the features had in the training data, e.g. "uint8".
  std::string source_dtype;
  // The number of outputs (logits).
  int64_t classes = 0;
  // What is done to features before the model sees them.
  data::PreprocessSteps preprocess;
  // Of the validation data, e.g. accuracy.
  std::map<std::string, double> metrics;
};

std::string ToJson(const ModelDescription& description);

// InvalidArgument names the field of `text` that is missing or wrong; `name`
// says whose text it is.
absl::StatusOr<ModelDescription> ParseModelDescription(const std::string& text,
                                                       const std::string& name);

// Where an export is: `path` may be its folder, its model.json, or the storage
// of a job that has one. NotFound says what was looked for.
absl::StatusOr<Location> FindExport(const std::string& path);

}  // namespace tfd::worker

#endif  // TFD_WORKER_MODEL_FILE_H_
