#include "tensor/stream_copy.h"

#include <algorithm>
#include <cassert>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace tfd::tensor {

void StreamCopy(absl::Span<const float> in, absl::Span<float> out) {
  assert(in.size() == out.size());
#if defined(__x86_64__)
  constexpr size_t kLanes = sizeof(__m128) / sizeof(float);
  // Such stores want an aligned address.
  const size_t misaligned =
      reinterpret_cast<uintptr_t>(out.data()) % sizeof(__m128) / sizeof(float);
  const size_t head =
      std::min(in.size(), misaligned == 0 ? 0 : kLanes - misaligned);
  std::copy_n(in.data(), head, out.data());
  size_t i = head;
  for (; i + kLanes <= in.size(); i += kLanes) {
    _mm_stream_ps(out.data() + i, _mm_loadu_ps(in.data() + i));
  }
  std::copy(in.begin() + i, in.end(), out.begin() + i);
  // They are not ordered with other stores by themselves.
  _mm_sfence();
#else
  std::copy(in.begin(), in.end(), out.begin());
#endif
}

}  // namespace tfd::tensor
