#include "worker/models/script_module.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <cmath>
#include <unordered_set>

namespace tfd::worker {
namespace {

// torch.nn.init.kaiming_uniform_(weight, a=√5) and the bound of the bias in
// nn.Linear and nn.Conv2d, computed in the same order of operations.
void InitialiseLayer(torch::Tensor weight, torch::Tensor bias,
                     const at::Generator& generator) {
  const double fan_in =
      static_cast<double>(weight.numel()) / static_cast<double>(weight.size(0));
  const double gain = std::sqrt(2.0 / (1.0 + 5.0));
  const double weight_bound = std::sqrt(3.0) * (gain / std::sqrt(fan_in));
  const double bias_bound = 1.0 / std::sqrt(fan_in);
  weight.uniform_(-weight_bound, weight_bound, generator);
  bias.uniform_(-bias_bound, bias_bound, generator);
}

}  // namespace

torch::jit::Module BuildModule(const ModelDefinition& definition, uint64_t seed,
                               const torch::Device& device) {
  // Drawn on the CPU whatever the device, so that it does not matter.
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const auto options =
      torch::TensorOptions().dtype(torch::kFloat32).device(torch::kCPU);
  torch::jit::Module module("Model");
  // Python's train() and eval() set it.
  module.register_attribute("training", c10::BoolType::get(), true);
  for (const LayerDefinition& layer : definition.layers) {
    torch::Tensor weight = torch::empty(layer.weight_shape, options);
    torch::Tensor bias = torch::empty({layer.weight_shape[0]}, options);
    InitialiseLayer(weight, bias, generator);
    torch::jit::Module part("Layer_" + layer.name);
    part.register_attribute("training", c10::BoolType::get(), true);
    part.register_parameter("weight", weight.to(device).requires_grad_(),
                            /*is_buffer=*/false);
    part.register_parameter("bias", bias.to(device).requires_grad_(),
                            /*is_buffer=*/false);
    module.register_module(layer.name, part);
  }
  module.define(definition.source);
  return module;
}

torch::jit::Module LoadModule(const std::string& path,
                              const torch::Device& device) {
  return torch::jit::load(path, device);
}

std::vector<NamedTensor> TrainableParameters(const torch::jit::Module& module) {
  std::vector<NamedTensor> parameters;
  std::unordered_set<const void*> seen;
  for (const auto& parameter : module.named_parameters(/*recurse=*/true)) {
    if (!parameter.value.requires_grad()) continue;
    if (!seen.insert(parameter.value.unsafeGetTensorImpl()).second) continue;
    parameters.push_back({parameter.name, parameter.value});
  }
  return parameters;
}

}  // namespace tfd::worker
