#include "ps/gradient_encoder.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "tensor/safetensors.h"
#include "tensor/top_k.h"

namespace tfd::ps {

GradientEncoder::GradientEncoder(const tensor::Layout& layout,
                                 tensor::NumberType type, double top_k,
                                 bool share)
    : layout_(layout), type_(type), top_k_(top_k) {
  if (top_k_ < 1) residual_.resize(layout_.elements());
  if (type_ == tensor::NumberType::kFloat32 && top_k_ == 1) return;
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

uint32_t GradientEncoder::EntriesOf(uint32_t chunk) const {
  const tensor::FlatRange range = layout_.ChunkRange(chunk);
  if (top_k_ == 1 || range.end > layout_.buffers_begin()) return 0;
  const auto elements = static_cast<double>(range.elements());
  // 0.07 · 100 is 7, and a little more in binary.
  const auto entries =
      static_cast<uint32_t>(std::ceil(top_k_ * elements - 1e-6));
  const uint32_t at_least_one = std::max(entries, 1u);
  return at_least_one * tensor::BytesPerEntry(type_) <
                 range.elements() * tensor::BytesPerNumber(type_)
             ? at_least_one
             : 0;
}

EncodedGradient GradientEncoder::Encode(uint32_t chunk, const float* gradient) {
  const tensor::FlatRange range = layout_.ChunkRange(chunk);
  const absl::Span<const float> numbers(gradient, range.elements());
  const tensor::NumberType type = TypeOf(chunk);
  const size_t bytes_per_number = tensor::BytesPerNumber(type);
  std::byte* const out = out_ + range.begin * bytes_per_number;
  if (const uint32_t entries = EntriesOf(chunk); entries > 0) {
    tensor::EncodeTopK(
        type, entries, numbers,
        absl::MakeSpan(residual_).subspan(range.begin, range.elements()), out);
    return {{out, entries * tensor::BytesPerEntry(type)}, type, entries};
  }
  if (type == tensor::NumberType::kFloat32) {
    return {tensor::AsBytes(numbers), type};
  }
  tensor::Narrow(type, numbers, out);
  return {{out, numbers.size() * bytes_per_number}, type};
}

}  // namespace tfd::ps
