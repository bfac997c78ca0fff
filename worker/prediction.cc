#include "worker/prediction.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tfd::worker {

std::vector<LabelProbability> TopLabels(absl::Span<const float> logits,
                                        int64_t k) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  std::vector<int64_t> labels(logits.size());
  std::iota(labels.begin(), labels.end(), 0);
  const auto count = std::min<size_t>(k, logits.size());
  std::partial_sort(labels.begin(), labels.begin() + count, labels.end(),
                    [&logits](int64_t a, int64_t b) {
                      return logits[a] != logits[b] ? logits[a] > logits[b]
                                                    : a < b;
                    });
  std::vector<LabelProbability> top(count);
  for (size_t i = 0; i < count; ++i) {
    top[i] = {labels[i], std::exp(logits[labels[i]] - largest) / sum};
  }
  return top;
}

}  // namespace tfd::worker
