// The outputs of layers inside a TorchScript module. LibTorch's modules have no
// hooks, so the graph of `forward` is rewritten: calls of submodules are put in
// their place, and what each of them gave is an output of the graph. (Pulls in
// LibTorch: for the few files that call it.) Exceptions of LibTorch pass
// through; callers use CatchTorch.
#ifndef TFD_WORKER_MODELS_LAYER_TAPS_H_
#define TFD_WORKER_MODELS_LAYER_TAPS_H_

#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tfd::worker {

// The layers whose outputs can be had, by the names of PyTorch's named_modules,
// in the order of their computation. A submodule counts where `forward` always
// calls it (not in a branch or a loop that stays one) and it gives one tensor.
// One that has no forward of its own, as in the built-in models, is the
// operation that takes its weights.
std::vector<std::string> LayersOf(const torch::jit::Module& module);

// Thread-compatible.
class LayerTaps {
 public:
  // InvalidArgument, with the names there are, for one that is none of them.
  static absl::StatusOr<LayerTaps> Make(const torch::jit::Module& module,
                                        const std::vector<std::string>& layers);

  // What the module's forward gives, and after it what each of the layers gave,
  // in the order of Make; of a layer that is called several times, the last.
  std::vector<torch::jit::IValue> Run(const torch::jit::Module& module,
                                      const torch::Tensor& features);

 private:
  LayerTaps() = default;

  torch::jit::GraphExecutor executor_;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_MODELS_LAYER_TAPS_H_
