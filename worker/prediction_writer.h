// Predictions in a file, a row per record, in order: CSV, JSON lines or
// Parquet.
#ifndef TFD_WORKER_PREDICTION_WRITER_H_
#define TFD_WORKER_PREDICTION_WRITER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/prediction.h"

namespace tfd::worker {

// Thread-compatible.
class PredictionWriter {
 public:
  virtual ~PredictionWriter() = default;

  // `path` ends in .csv, .jsonl or .parquet, or is "-" for standard output
  // (CSV). InvalidArgument for another name, and for outputs of layers in CSV.
  static absl::StatusOr<std::unique_ptr<PredictionWriter>> Create(
      const std::string& path, const PredictionForm& form);

  // The next record's.
  virtual absl::Status Add(const Prediction& prediction) = 0;
  // A file appears under its name only now, with all rows.
  virtual absl::Status Finish() = 0;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_PREDICTION_WRITER_H_
