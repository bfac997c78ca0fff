#include "tensor/gradient_reader.h"

namespace tfd::tensor {

GradientReader::GradientReader(const ChunkRequest& header,
                               const Payload& payload)
    : type_(header.payload_type), numbers_(payload.spans(), type_) {}

void GradientReader::SetNext(float weight, absl::Span<float> sum) {
  SetScaled(weight, numbers_.Next(sum.size()), sum, type_);
}

void GradientReader::AddNext(float weight, absl::Span<float> sum) {
  AddScaled(weight, numbers_.Next(sum.size()), sum, type_);
}

}  // namespace tfd::tensor
