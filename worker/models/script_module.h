// Models as torch::jit::Module: a built-in one compiled from its definition, a
// user's loaded from a file. (Pulls in LibTorch: for the few files that call
// it.) Exceptions of LibTorch pass through; callers use CatchTorch.
#ifndef TFD_WORKER_MODELS_SCRIPT_MODULE_H_
#define TFD_WORKER_MODELS_SCRIPT_MODULE_H_

#include <torch/script.h>

#include <cstdint>
#include <string>
#include <vector>

#include "worker/models/definition.h"

namespace tfd::worker {

// Parameters are drawn from a generator of its own, seeded with `seed`, in the
// order of the layers, weight before bias: equal seeds give the same numbers in
// every process, and those that PyTorch gives after manual_seed(seed).
torch::jit::Module BuildModule(const ModelDefinition& definition, uint64_t seed,
                               const torch::Device& device);

// What torch.jit.save wrote.
torch::jit::Module LoadModule(const std::string& path,
                              const torch::Device& device);

// The module has an attribute channels_last that is True, as the built-in
// models with convolutions have and a user's may: it takes images in PyTorch's
// memory format of that name. The shapes are the same.
bool WantsChannelsLast(const torch::jit::Module& module);

struct NamedTensor {
  std::string name;
  torch::Tensor tensor;
};

// The parameters that are trained (requires_grad), in the model's order, each
// once also where several names share it.
std::vector<NamedTensor> TrainableParameters(const torch::jit::Module& module);

// Its buffers, in the model's order, each once.
std::vector<NamedTensor> Buffers(const torch::jit::Module& module);

}  // namespace tfd::worker

#endif  // TFD_WORKER_MODELS_SCRIPT_MODULE_H_
