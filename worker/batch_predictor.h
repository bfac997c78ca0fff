// A model's answers to the batches of a dataset, into a file of predictions.
#ifndef TFD_WORKER_BATCH_PREDICTOR_H_
#define TFD_WORKER_BATCH_PREDICTOR_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/dataset.h"
#include "worker/model.h"
#include "worker/prediction.h"
#include "worker/prediction_writer.h"

namespace tfd::worker {

// What Model::Forward has made of a batch.
struct BatchOutputs {
  std::vector<float> logits;
  std::vector<std::vector<float>> layers;
};

// The answer to one record of it, which borrows from it.
Prediction PredictionOf(const BatchOutputs& outputs, int64_t classes,
                        const std::vector<LayerOutput>& layers, int64_t record,
                        int64_t top_k);

// Thread-compatible.
class BatchPredictor {
 public:
  // `model` outlives it.
  BatchPredictor(Model* model, int64_t top_k) : model_(model), top_k_(top_k) {}

  // A row for each record, in their order.
  absl::Status Add(const data::Batch& batch, PredictionWriter* writer);

  // Of all batches so far; errors are rows that could not be read.
  int64_t records() const { return records_; }
  int64_t errors() const { return errors_; }
  // Of the dataset's labels; nothing where it has none or no record had an
  // answer.
  std::optional<double> Accuracy(const data::DatasetInfo& info) const;

 private:
  Model* const model_;
  const int64_t top_k_;
  BatchOutputs outputs_;
  int64_t records_ = 0;
  int64_t errors_ = 0;
  int64_t correct_ = 0;
};

// ", accuracy 0.9912, 3 rows could not be read": what there is to say.
std::string Remarks(std::optional<double> accuracy, int64_t errors);

}  // namespace tfd::worker

#endif  // TFD_WORKER_BATCH_PREDICTOR_H_
