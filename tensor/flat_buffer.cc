#include "tensor/flat_buffer.h"

#include <cstring>
#include <utility>

#include "common/status.h"

namespace tfd::tensor {

absl::StatusOr<FlatBuffer> FlatBuffer::Allocate(uint64_t elements) {
  FlatBuffer buffer;
  buffer.elements_ = elements;
  absl::StatusOr<std::unique_ptr<SharedMemory>> shared =
      SharedMemory::Create("tfd-worker", elements * sizeof(float));
  if (shared.ok()) {
    buffer.shared_ = *std::move(shared);
    buffer.data_ = reinterpret_cast<float*>(buffer.shared_->data());
  } else if (absl::IsUnimplemented(shared.status())) {
    buffer.own_ = FloatBuffer::Zeros(elements);
    buffer.data_ = buffer.own_.data();
  } else {
    return Annotate(shared.status(), "memory for the model's parameters");
  }
  return buffer;
}

void FlatBuffer::SetZero() {
  if (elements_ > 0) std::memset(data_, 0, elements_ * sizeof(float));
}

absl::StatusOr<std::shared_ptr<const ParameterVersions>>
AllocateParameterVersions(uint64_t elements) {
  auto versions = std::make_shared<ParameterVersions>();
  for (FlatBuffer& version : *versions) {
    TFD_ASSIGN_OR_RETURN(version, FlatBuffer::Allocate(elements));
  }
  return versions;
}

}  // namespace tfd::tensor
