// The models that tfd brings along, as text: the shapes of their parameters and
// a few lines of TorchScript. Pure; knows nothing of LibTorch.
#ifndef TFD_WORKER_MODELS_DEFINITION_H_
#define TFD_WORKER_MODELS_DEFINITION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::worker {

enum class LayerKind {
  // Parameters NAME.weight and NAME.bias (as many as outputs), initialised as
  // PyTorch's nn.Linear and nn.Conv2d do.
  kBiased,
  // NAME.weight alone, initialised as torchvision's ResNet does (He et al.,
  // 2015).
  kConvolution,
  // NAME.weight and NAME.bias, and the buffers NAME.running_mean and
  // NAME.running_var.
  kBatchNorm,
};

// One layer; a dot in a name is a module in a module.
struct LayerDefinition {
  std::string name;
  // Outputs first.
  std::vector<int64_t> weight_shape;
  LayerKind kind = LayerKind::kBiased;
};

struct ModelDefinition {
  // In the order of the flat key space.
  std::vector<LayerDefinition> layers;
  // `def forward(self, x):` from [records, input…] to [records, classes].
  std::string source;
};

// The shape of one record as the model takes it: spec.input where given, else
// from the data's `record_shape` (an image h × w becomes [1, h, w] where the
// model is not a flat one). InvalidArgument where the numbers do not fit,
// naming both shapes.
absl::StatusOr<std::vector<int64_t>> ResolveInputShape(
    const v1::ModelSpec& spec, absl::Span<const int64_t> record_shape);

// `input` as ResolveInputShape gives it. InvalidArgument where the model cannot
// take it (an image that is too small, no image).
absl::StatusOr<ModelDefinition> DefineBuiltin(const v1::ModelSpec& spec,
                                              absl::Span<const int64_t> input);

// "[1, 28, 28]".
std::string ShapeText(absl::Span<const int64_t> shape);
// The product of a shape; 1 for an empty one.
int64_t ShapeElements(absl::Span<const int64_t> shape);
// "lenet", or "torchscript FILE", for messages.
std::string ModelText(const v1::ModelSpec& spec);

}  // namespace tfd::worker

#endif  // TFD_WORKER_MODELS_DEFINITION_H_
