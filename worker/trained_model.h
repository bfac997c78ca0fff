// An exported model, ready to answer records.
#ifndef TFD_WORKER_TRAINED_MODEL_H_
#define TFD_WORKER_TRAINED_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/image_features.h"
#include "tfd/v1/job_spec.pb.h"
#include "worker/model.h"
#include "worker/model_file.h"

namespace tfd::worker {

struct TrainedModel {
  ModelDescription description;
  std::unique_ptr<Model> model;
};

struct TrainedModelOptions {
  // As FindExport takes it.
  std::string path;
  int64_t top_k = 1;
  // Layers whose outputs are wanted, see Model::TapLayers.
  std::vector<std::string> layers;
  int threads = 1;
};

// What a job's spec says.
TrainedModelOptions TrainedModelOptionsOf(const v1::PredictSpec& spec,
                                          int threads);

// Sets the threads of LibTorch in this process. InvalidArgument where top_k is
// more than the model has classes, or there is no such layer.
absl::StatusOr<TrainedModel> OpenTrainedModel(
    const TrainedModelOptions& options);

// What the images of the spec become for this model; InvalidArgument where it
// takes others.
absl::StatusOr<data::ImageForm> PushedImages(const v1::ImageSpec& spec,
                                             const ModelDescription& model);

// The names of labels in a text file, one a line; none where `path` is empty.
// InvalidArgument where there are not as many as `classes`.
absl::StatusOr<std::vector<std::string>> ReadLabelNames(const std::string& path,
                                                        int64_t classes);

}  // namespace tfd::worker

#endif  // TFD_WORKER_TRAINED_MODEL_H_
