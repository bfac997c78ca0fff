// What a model says of one record, and the form in which many of them are
// written.
#ifndef TFD_WORKER_PREDICTION_H_
#define TFD_WORKER_PREDICTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "worker/model.h"

namespace tfd::worker {

struct LabelProbability {
  int64_t label = 0;
  double probability = 0;
};

struct Prediction {
  // Not empty: why the record has no answer; then the rest is not looked at.
  std::string error;
  // The most probable first, top_k of them.
  std::vector<LabelProbability> top;
  // What the layers of the form gave, as many numbers as their widths say. Not
  // owned.
  std::vector<absl::Span<const float>> layers;
};

struct PredictionForm {
  int64_t top_k = 1;
  // Of the first record that is added; files alone have the rows' numbers.
  int64_t first_row = 0;
  // Written instead of the labels' numbers; empty: numbers. Not owned.
  absl::Span<const std::string> names;
  std::vector<LayerOutput> layers;
  // Records may have an error instead of an answer.
  bool errors = false;
};

// The `k` most probable labels of one record's logits, the most probable first;
// of equal ones the smaller label first. Probabilities are the softmax.
std::vector<LabelProbability> TopLabels(absl::Span<const float> logits,
                                        int64_t k);

}  // namespace tfd::worker

#endif  // TFD_WORKER_PREDICTION_H_
