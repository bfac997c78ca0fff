// The largest numbers of a gradient, and what becomes of the others: each is
// kept and added to the next gradient (error feedback), so that nothing is
// lost, only late. After Stich, Cordonnier and Jaggi, "Sparsified SGD with
// Memory" (NeurIPS 2018).
#ifndef TFD_TENSOR_TOP_K_H_
#define TFD_TENSOR_TOP_K_H_

#include <cstddef>

#include "absl/types/span.h"
#include "tensor/number_type.h"

namespace tfd::tensor {

// Of one entry: its place and its value.
constexpr size_t BytesPerEntry(NumberType type) {
  return sizeof(uint32_t) + BytesPerNumber(type);
}

// Adds `gradient` to `residual`, writes the `count` numbers of the largest
// magnitude (among equals the first) to `out`, as ascending uint32 places and
// then values, count · BytesPerEntry(type) bytes in all, and leaves in
// `residual` what they do not say: the other numbers, and what was rounded
// away. Numbers that are none are the largest; none of them stays in
// `residual`. Allocates nothing. 1 <= count <= gradient.size() ==
// residual.size().
void EncodeTopK(NumberType type, size_t count, absl::Span<const float> gradient,
                absl::Span<float> residual, std::byte* out);

}  // namespace tfd::tensor

#endif  // TFD_TENSOR_TOP_K_H_
