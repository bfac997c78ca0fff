#include "tensor/stream_copy.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace tfd::tensor {
namespace {

TEST(StreamCopyTest, CopiesEveryNumberAtAnyPlaceAndNoOther) {
  std::vector<float> in(100);
  std::iota(in.begin(), in.end(), 1.0f);
  for (size_t from = 0; from < 5; ++from) {
    for (size_t to = 0; to < 5; ++to) {
      for (const size_t size : {0u, 1u, 3u, 4u, 5u, 16u, 67u}) {
        std::vector<float> out(100, -1.0f);
        StreamCopy(absl::MakeConstSpan(in).subspan(from, size),
                   absl::MakeSpan(out).subspan(to, size));
        for (size_t i = 0; i < out.size(); ++i) {
          const bool inside = i >= to && i < to + size;
          ASSERT_EQ(out[i], inside ? in[i - to + from] : -1.0f)
              << i << " of " << size << " from " << from << " to " << to;
        }
      }
    }
  }
}

}  // namespace
}  // namespace tfd::tensor
