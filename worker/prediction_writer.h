// Predictions as text, one line per record, in order: CSV or JSON lines.
#ifndef TFD_WORKER_PREDICTION_WRITER_H_
#define TFD_WORKER_PREDICTION_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/fs/file_system.h"

namespace tfd::worker {

struct LabelProbability {
  int64_t label = 0;
  double probability = 0;
};

// The `k` most probable labels of one record's logits, the most probable first;
// of equal ones the smaller label first. Probabilities are the softmax.
std::vector<LabelProbability> TopLabels(absl::Span<const float> logits,
                                        int64_t k);

// Thread-compatible.
class PredictionWriter {
 public:
  // `path` ends in .csv or .jsonl, or is "-" for standard output (CSV).
  // InvalidArgument for another name.
  static absl::StatusOr<std::unique_ptr<PredictionWriter>> Create(
      const std::string& path, int64_t top_k);

  // The next record's. top.size() is top_k.
  absl::Status Add(const std::vector<LabelProbability>& top);
  // A file appears under its name only now, with all lines.
  absl::Status Finish();

 private:
  enum class Form { kCsv, kJsonLines };

  PredictionWriter(std::unique_ptr<WritableFile> file, Form form);
  absl::Status Flush();

  const std::unique_ptr<WritableFile> file_;  // null: standard output
  const Form form_;
  std::string text_;
  int64_t row_ = 0;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_PREDICTION_WRITER_H_
