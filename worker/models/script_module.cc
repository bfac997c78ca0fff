#include "worker/models/script_module.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "absl/strings/str_cat.h"

namespace tfd::worker {
namespace {

constexpr char kChannelsLast[] = "channels_last";

// torch.nn.init.kaiming_uniform_(weight, a=√5) and the bound of the bias in
// nn.Linear and nn.Conv2d, computed in the same order of operations.
void InitialiseBiased(const torch::Tensor& weight, const torch::Tensor& bias,
                      const at::Generator& generator) {
  const double fan_in =
      static_cast<double>(weight.numel()) / static_cast<double>(weight.size(0));
  const double gain = std::sqrt(2.0 / (1.0 + 5.0));
  const double weight_bound = std::sqrt(3.0) * (gain / std::sqrt(fan_in));
  const double bias_bound = 1.0 / std::sqrt(fan_in);
  weight.uniform_(-weight_bound, weight_bound, generator);
  bias.uniform_(-bias_bound, bias_bound, generator);
}

// torch.nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu").
void InitialiseConvolution(const torch::Tensor& weight,
                           const at::Generator& generator) {
  const double fan_out =
      static_cast<double>(weight.numel()) / static_cast<double>(weight.size(1));
  weight.normal_(0, std::sqrt(2.0) / std::sqrt(fan_out), generator);
}

class ModuleBuilder {
 public:
  ModuleBuilder(uint64_t seed, const torch::Device& device)
      : generator_(at::make_generator<at::CPUGeneratorImpl>(seed)),
        device_(device) {}

  // The module of the layers from `begin` to `end`, all of which are called
  // PREFIX…; a dot in a name is a module in a module.
  torch::jit::Module Build(const std::string& type,
                           std::vector<LayerDefinition>::const_iterator begin,
                           std::vector<LayerDefinition>::const_iterator end,
                           const std::string& prefix) {
    torch::jit::Module module(type);
    // Python's train() and eval() set it.
    module.register_attribute("training", c10::BoolType::get(), true);
    while (begin != end) {
      if (begin->name + "." == prefix) {
        Fill(*begin, module);
        ++begin;
        continue;
      }
      const std::string name = begin->name.substr(
          prefix.size(), begin->name.find('.', prefix.size()) - prefix.size());
      const std::string child = absl::StrCat(prefix, name, ".");
      const auto rest =
          std::find_if(begin, end, [&child](const LayerDefinition& layer) {
            return (layer.name + ".").compare(0, child.size(), child) != 0;
          });
      module.register_module(
          name, Build(absl::StrCat(type, "_", name), begin, rest, child));
      begin = rest;
    }
    return module;
  }

 private:
  void Fill(const LayerDefinition& layer, torch::jit::Module& module) {
    // Drawn on the CPU whatever the device, so that it does not matter.
    const auto options =
        torch::TensorOptions().dtype(torch::kFloat32).device(torch::kCPU);
    torch::Tensor weight = torch::ones(layer.weight_shape, options);
    torch::Tensor bias = torch::zeros({layer.weight_shape[0]}, options);
    const auto add = [&](const char* name, const torch::Tensor& tensor,
                         bool is_buffer) {
      module.register_parameter(
          name, tensor.to(device_).requires_grad_(!is_buffer), is_buffer);
    };
    switch (layer.kind) {
      case LayerKind::kBiased:
        InitialiseBiased(weight, bias, generator_);
        break;
      case LayerKind::kConvolution:
        InitialiseConvolution(weight, generator_);
        return add("weight", weight, false);
      case LayerKind::kBatchNorm:
        add("running_mean", torch::zeros_like(bias), true);
        add("running_var", torch::ones_like(weight), true);
        break;
    }
    add("weight", weight, false);
    add("bias", bias, false);
  }

  at::Generator generator_;
  const torch::Device device_;
};

}  // namespace

torch::jit::Module BuildModule(const ModelDefinition& definition, uint64_t seed,
                               const torch::Device& device) {
  ModuleBuilder builder(seed, device);
  torch::jit::Module module =
      builder.Build("Model", definition.layers.begin(), definition.layers.end(),
                    /*prefix=*/"");
  const auto convolves = [](const LayerDefinition& layer) {
    return layer.weight_shape.size() == 4;
  };
  if (std::any_of(definition.layers.begin(), definition.layers.end(),
                  convolves)) {
    module.register_attribute(kChannelsLast, c10::BoolType::get(), true);
  }
  module.define(definition.source);
  return module;
}

bool WantsChannelsLast(const torch::jit::Module& module) {
  if (!module.hasattr(kChannelsLast)) return false;
  const torch::jit::IValue value = module.attr(kChannelsLast);
  return value.isBool() && value.toBool();
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

std::vector<NamedTensor> Buffers(const torch::jit::Module& module) {
  std::vector<NamedTensor> buffers;
  std::unordered_set<const void*> seen;
  for (const auto& buffer : module.named_buffers(/*recurse=*/true)) {
    if (!seen.insert(buffer.value.unsafeGetTensorImpl()).second) continue;
    buffers.push_back({buffer.name, buffer.value});
  }
  return buffers;
}

}  // namespace tfd::worker
