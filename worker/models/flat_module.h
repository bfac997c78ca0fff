// A module's trained parameters and buffers over two flat stretches of memory,
// which the exchange sends and writes without a copy. (Pulls in LibTorch.)
#ifndef TFD_WORKER_MODELS_FLAT_MODULE_H_
#define TFD_WORKER_MODELS_FLAT_MODULE_H_

#include <torch/script.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tensor/flat_buffer.h"
#include "tensor/layout.h"
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

  // The version that the module computes with.
  const tensor::FlatBuffer& parameters() const {
    return (*versions_)[version_];
  }
  const std::shared_ptr<const tensor::ParameterVersions>& versions() const {
    return versions_;
  }
  // From now on.
  void UseVersion(int version);
  // Of the trained parameters; behind it the buffers, as StoreBuffers left
  // them.
  tensor::FlatBuffer& gradient() { return gradient_; }
  const tensor::FlatBuffer& gradient() const { return gradient_; }

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
  std::shared_ptr<const tensor::ParameterVersions> versions_;
  int version_ = 0;
  // Of all tensors that are views of the flat memory.
  torch::Storage storage_;
  tensor::FlatBuffer gradient_;
  uint64_t buffers_begin_ = 0;
  std::vector<Counter> counters_;
  // The module's own, and their first values.
  std::vector<NamedTensor> others_;
  std::vector<torch::Tensor> others_first_;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_MODELS_FLAT_MODULE_H_
