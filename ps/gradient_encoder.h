// What becomes of a worker's gradient before it is sent: numbers of fewer bits,
// the largest of them alone; in memory of their own, so that shards on this
// host read them in place.
#ifndef TFD_PS_GRADIENT_ENCODER_H_
#define TFD_PS_GRADIENT_ENCODER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "common/shared_memory.h"
#include "tensor/chunk_codec.h"
#include "tensor/float_buffer.h"
#include "tensor/layout.h"

namespace tfd::ps {

// A payload and what a request's header says of it.
struct EncodedGradient {
  tensor::ByteSpan bytes;
  tensor::NumberType type = tensor::NumberType::kFloat32;
  uint32_t entries = 0;
};

// Thread-safe for different chunks.
class GradientEncoder {
 public:
  // `top_k`: the share of each chunk's numbers that is sent, 1 for all. With
  // `share` payloads lie in memory that peers on this
  // host can map, where the system has such memory.
  GradientEncoder(const tensor::Layout& layout, tensor::NumberType type,
                  double top_k, bool share);

  // As what a chunk's gradient and its parameters travel. Buffers are float32:
  // batch norm's running variance does not bear the rounding.
  tensor::NumberType TypeOf(uint32_t chunk) const;

  // `gradient` has the chunk's elements. What is given stays until the next
  // call for the same chunk; it may be `gradient` itself.
  EncodedGradient Encode(uint32_t chunk, const float* gradient);

  // Where payloads are that are not the caller's own gradient; null where there
  // are none, or none that can be shared.
  const SharedMemory* memory() const { return memory_.get(); }
  // Peers can read every payload where it is, if they can the caller's.
  bool shareable() const { return memory_ != nullptr || out_ == nullptr; }
  // Payloads may still be read after the encoder is gone, as long as this is
  // kept.
  const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  // How many of a chunk's numbers are sent; 0: all, since entries would not be
  // smaller.
  uint32_t EntriesOf(uint32_t chunk) const;

  const tensor::Layout layout_;
  const tensor::NumberType type_;
  const double top_k_;
  // What has not been sent of the gradients so far, in the flat key space;
  // empty where all is sent.
  std::vector<float> residual_;
  std::shared_ptr<const SharedMemory> memory_;
  std::shared_ptr<const void> owner_;
  std::byte* out_ = nullptr;
};

}  // namespace tfd::ps

#endif  // TFD_PS_GRADIENT_ENCODER_H_
