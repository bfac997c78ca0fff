#include "ps/gradient_encoder.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "tensor/safetensors.h"

namespace tfd::ps {

GradientEncoder::GradientEncoder(const tensor::Layout& layout,
                                 tensor::NumberType type, bool share)
    : layout_(layout), type_(type) {
  if (type_ == tensor::NumberType::kFloat32) return;
  if (share) {
    absl::StatusOr<std::unique_ptr<SharedMemory>> memory = SharedMemory::Create(
        "tfd-gradients", layout_.elements() * tensor::BytesPerNumber(type_));
    if (memory.ok()) {
      memory_ = *std::move(memory);
      owner_ = memory_;
      out_ = memory_->data();
      return;
    }
    spdlog::warn("gradients are not shared: {}",
                 std::string(memory.status().message()));
  }
  const auto heap = std::make_shared<tensor::FloatBuffer>(layout_.elements());
  owner_ = heap;
  out_ = reinterpret_cast<std::byte*>(heap->data());
}

tensor::NumberType GradientEncoder::TypeOf(uint32_t chunk) const {
  return layout_.ChunkRange(chunk).end > layout_.buffers_begin()
             ? tensor::NumberType::kFloat32
             : type_;
}

EncodedGradient GradientEncoder::Encode(uint32_t chunk, const float* gradient) {
  const tensor::FlatRange range = layout_.ChunkRange(chunk);
  const absl::Span<const float> numbers(gradient, range.elements());
  const tensor::NumberType type = TypeOf(chunk);
  if (type == tensor::NumberType::kFloat32) {
    return {tensor::AsBytes(numbers), type};
  }
  const size_t bytes_per_number = tensor::BytesPerNumber(type);
  std::byte* const out = out_ + range.begin * bytes_per_number;
  tensor::Narrow(type, numbers, out);
  return {{out, numbers.size() * bytes_per_number}, type};
}

}  // namespace tfd::ps
