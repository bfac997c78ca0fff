#include "worker/batch_predictor.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/units.h"

namespace tfd::worker {

Prediction PredictionOf(const BatchOutputs& outputs, int64_t classes,
                        const std::vector<LayerOutput>& layers, int64_t record,
                        int64_t top_k) {
  Prediction prediction;
  prediction.top = TopLabels(
      absl::MakeConstSpan(outputs.logits).subspan(record * classes, classes),
      top_k);
  for (size_t i = 0; i < layers.size(); ++i) {
    const int64_t width = layers[i].width();
    prediction.layers.push_back(
        absl::MakeConstSpan(outputs.layers[i]).subspan(record * width, width));
  }
  return prediction;
}

absl::Status BatchPredictor::Add(const data::Batch& batch,
                                 PredictionWriter* writer) {
  TFD_RETURN_IF_ERROR(model_->Forward({batch.features(), nullptr, batch.size()},
                                      &outputs_.logits, &outputs_.layers));
  auto error = batch.errors().begin();
  for (int64_t i = 0; i < batch.size(); ++i) {
    if (error != batch.errors().end() && error->row == i) {
      Prediction none;
      none.error = error->text;
      TFD_RETURN_IF_ERROR(writer->Add(none));
      ++error;
      ++errors_;
      continue;
    }
    const Prediction prediction =
        PredictionOf(outputs_, model_->classes(), model_->layers(), i, top_k_);
    if (prediction.top[0].label == batch.labels()[i]) ++correct_;
    TFD_RETURN_IF_ERROR(writer->Add(prediction));
  }
  records_ += batch.size();
  return absl::OkStatus();
}

std::optional<double> BatchPredictor::Accuracy(
    const data::DatasetInfo& info) const {
  if (!info.has_labels || records_ == errors_) return std::nullopt;
  return static_cast<double>(correct_) /
         static_cast<double>(records_ - errors_);
}

std::string Remarks(std::optional<double> accuracy, int64_t errors) {
  std::string text;
  if (accuracy) absl::StrAppendFormat(&text, ", accuracy %.4f", *accuracy);
  if (errors > 0) {
    absl::StrAppend(&text, ", ", FormatCount(errors),
                    errors == 1 ? " row" : " rows", " could not be read");
  }
  return text;
}

}  // namespace tfd::worker
