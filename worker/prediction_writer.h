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

struct PredictionForm {
  int64_t top_k = 1;
  // Of the first record that is added.
  int64_t first_row = 0;
  // Written instead of the labels' numbers; empty: numbers. Not owned.
  absl::Span<const std::string> names;
};

// Thread-compatible.
class PredictionWriter {
 public:
  // `path` ends in .csv or .jsonl, or is "-" for standard output (CSV).
  // InvalidArgument for another name.
  static absl::StatusOr<std::unique_ptr<PredictionWriter>> Create(
      const std::string& path, const PredictionForm& form);

  // The next record's. top.size() is top_k.
  absl::Status Add(const std::vector<LabelProbability>& top);
  // A file appears under its name only now, with all lines.
  absl::Status Finish();

 private:
  PredictionWriter(std::unique_ptr<WritableFile> file,
                   const PredictionForm& form, bool json_lines);
  std::string LabelText(int64_t label) const;
  absl::Status Flush();

  const std::unique_ptr<WritableFile> file_;  // null: standard output
  // As they are written.
  std::vector<std::string> names_;
  const bool json_lines_;
  std::string text_;
  int64_t row_;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_PREDICTION_WRITER_H_
