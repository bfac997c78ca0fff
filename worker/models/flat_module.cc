#include "worker/models/flat_module.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status.h"

namespace tfd::worker {
namespace {

bool IsCounter(const torch::Tensor& tensor) {
  return tensor.scalar_type() == torch::kInt64 && tensor.numel() == 1;
}

}  // namespace

void FlatModule::AddTensor(const NamedTensor& tensor, uint64_t* elements) {
  tensors_.push_back({tensor.name, tensor.tensor.sizes().vec()});
  *elements += tensor.tensor.numel();
}

// Moves a float32 tensor into the flat memory.
void FlatModule::View(const torch::Tensor& tensor, uint64_t begin) const {
  const torch::Tensor view =
      torch::empty({0}, tensor.options().requires_grad(false))
          .set_(storage_, static_cast<int64_t>(begin), tensor.sizes(), {});
  view.copy_(tensor.detach());
  tensor.set_data(view);
}

absl::StatusOr<FlatModule> FlatModule::Bind(const torch::jit::Module& module,
                                            const torch::Device& device) {
  FlatModule flat;
  uint64_t elements = 0;
  const std::vector<NamedTensor> trained = TrainableParameters(module);
  for (const NamedTensor& parameter : trained) {
    if (parameter.tensor.scalar_type() != torch::kFloat32) {
      return absl::InvalidArgumentError(absl::StrCat(
          "parameter ", parameter.name, " is ",
          c10::toString(parameter.tensor.scalar_type()),
          ", and only float32 can be trained: convert it before saving"));
    }
    flat.AddTensor(parameter, &elements);
  }
  if (elements == 0) {
    return absl::InvalidArgumentError(
        "it has no parameter with requires_grad: there is nothing to train");
  }
  flat.buffers_begin_ = elements;
  std::vector<NamedTensor> buffers;
  for (const NamedTensor& buffer : Buffers(module)) {
    if (buffer.tensor.scalar_type() == torch::kFloat32 ||
        IsCounter(buffer.tensor)) {
      flat.AddTensor(buffer, &elements);
      buffers.push_back(buffer);
    } else {
      flat.others_.push_back(buffer);
      flat.others_first_.push_back(buffer.tensor.clone());
    }
  }
  TFD_ASSIGN_OR_RETURN(flat.versions_,
                       tensor::AllocateParameterVersions(elements));
  TFD_ASSIGN_OR_RETURN(flat.gradient_, tensor::FlatBuffer::Allocate(elements));

  torch::NoGradGuard no_grad;
  const auto options =
      torch::TensorOptions().dtype(torch::kFloat32).device(device);
  flat.storage_ = torch::from_blob(flat.parameters().data(),
                                   {static_cast<int64_t>(elements)}, options)
                      .storage();
  uint64_t begin = 0;
  for (const NamedTensor& parameter : trained) {
    torch::Tensor tensor = parameter.tensor;
    flat.View(tensor, begin);
    tensor.mutable_grad() = torch::from_blob(flat.gradient_.data() + begin,
                                             tensor.sizes(), options);
    flat.trained_.push_back(tensor);
    begin += tensor.numel();
  }
  for (const NamedTensor& buffer : buffers) {
    if (IsCounter(buffer.tensor)) {
      flat.counters_.push_back({buffer.tensor, begin});
      flat.parameters().data()[begin] = buffer.tensor.item<float>();
    } else {
      flat.View(buffer.tensor, begin);
    }
    begin += buffer.tensor.numel();
  }
  return flat;
}

void FlatModule::UseVersion(int version) {
  version_ = version;
  storage_.set_data_ptr_noswap(
      at::DataPtr(parameters().data(), storage_.device()));
}

void FlatModule::LoadCounters() {
  for (Counter& counter : counters_) {
    counter.tensor.fill_(std::lround(parameters().data()[counter.begin]));
  }
}

void FlatModule::StoreBuffers() {
  for (const Counter& counter : counters_) {
    parameters().data()[counter.begin] = counter.tensor.item<float>();
  }
  std::copy(parameters().data() + buffers_begin_,
            parameters().data() + parameters().elements(),
            gradient_.data() + buffers_begin_);
}

absl::Status FlatModule::CheckOtherBuffers() {
  std::vector<std::string> changed;
  for (size_t i = 0; i < others_.size(); ++i) {
    const torch::Tensor& now = others_[i].tensor;
    if (others_first_[i].equal(now)) continue;
    changed.push_back(
        absl::StrCat(others_[i].name, ", ", c10::toString(now.scalar_type())));
  }
  others_.clear();
  others_first_.clear();
  if (changed.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "it changes its buffers while it trains (", absl::StrJoin(changed, "; "),
      "), and of buffers only float32 ones and single int64 numbers are "
      "exchanged: make them such"));
}

}  // namespace tfd::worker
