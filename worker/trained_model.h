// An exported model, ready to answer records.
#ifndef TFD_WORKER_TRAINED_MODEL_H_
#define TFD_WORKER_TRAINED_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model.h"
#include "worker/model_file.h"

namespace tfd::worker {

struct TrainedModel {
  ModelDescription description;
  std::unique_ptr<Model> model;
};

// `path` as FindExport takes it. Sets the threads of LibTorch in this process.
// InvalidArgument where `top_k` is more than the model has classes.
absl::StatusOr<TrainedModel> OpenTrainedModel(const std::string& path,
                                              int64_t top_k, int threads);

// The names of labels in a text file, one a line; none where `path` is empty.
// InvalidArgument where there are not as many as `classes`.
absl::StatusOr<std::vector<std::string>> ReadLabelNames(const std::string& path,
                                                        int64_t classes);

}  // namespace tfd::worker

#endif  // TFD_WORKER_TRAINED_MODEL_H_
