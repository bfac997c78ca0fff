// A module's trained parameters and buffers over two flat stretches of memory,
// which the exchange sends and writes without a copy. (Pulls in LibTorch.)
#ifndef TFD_WORKER_MODELS_FLAT_MODULE_H_
#define TFD_WORKER_MODELS_FLAT_MODULE_H_

#include <torch/script.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tensor/layout.h"
#include "worker/memory.h"
#include "worker/models/script_module.h"

namespace tfd::worker {

// The flat order: trained parameters, then buffers (batch norm's statistics),
// each in the module's order. Parameters and float32 buffers are views of the
// flat memory from Bind on; a buffer of one int64 (how many batches a statistic
// is of) cannot be, and is carried over as a number. Movable;
// thread-compatible. Exceptions of LibTorch pass through.
class FlatModule {
 public:
  FlatModule() = default;
  // Changes the module's tensors in place (set_data), so every alias follows.
  // InvalidArgument where there is nothing to train, or what is to be trained
  // is not float32.
  static absl::StatusOr<FlatModule> Bind(const torch::jit::Module& module,
                                         const torch::Device& device);

  const std::vector<tensor::TensorShape>& tensors() const { return tensors_; }
  // Of tensors(), those that are buffers: the last ones.
  size_t buffers() const { return tensors_.size() - trained_.size(); }
  const std::vector<torch::Tensor>& trained() const { return trained_; }

  const FlatBuffer& parameters() const { return parameters_; }
  // Of the trained parameters; behind it the buffers, as StoreBuffers left
  // them.
  FlatBuffer& gradient() { return gradient_; }
  const FlatBuffer& gradient() const { return gradient_; }

  // parameters() was written to from outside: buffers that are no views follow.
  void LoadCounters();
  // Copies the buffers to behind the gradient.
  void StoreBuffers();
  // FailedPrecondition, naming them, once buffers of other types have changed:
  // they are not exchanged. Looks only at its first call.
  absl::Status CheckOtherBuffers();

 private:
  struct Counter {
    torch::Tensor tensor;
    uint64_t begin;
  };

  void AddTensor(const NamedTensor& tensor, uint64_t* elements);
  void View(const torch::Tensor& tensor, uint64_t begin) const;

  std::vector<tensor::TensorShape> tensors_;
  std::vector<torch::Tensor> trained_;
  FlatBuffer parameters_;
  FlatBuffer gradient_;
  uint64_t buffers_begin_ = 0;
  std::vector<Counter> counters_;
  // The module's own, and their first values.
  std::vector<NamedTensor> others_;
  std::vector<torch::Tensor> others_first_;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_MODELS_FLAT_MODULE_H_
