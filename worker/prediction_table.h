// Predictions as the rows of an Arrow table: of a Parquet file, and of the
// answers to pushed rows.
#ifndef TFD_WORKER_PREDICTION_TABLE_H_
#define TFD_WORKER_PREDICTION_TABLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/prediction.h"

namespace arrow {
class RecordBatch;
class RecordBatchBuilder;
class Schema;
}  // namespace arrow

namespace tfd::worker {

enum class TableFor {
  // Begins with a column `row`; layers are lists of fixed size.
  kFile,
  // Layers are lists of any size, which more readers of Arrow know.
  kAnswer,
};

// Thread-compatible.
class PredictionTable {
 public:
  // InvalidArgument where a layer has the name of another column.
  static absl::StatusOr<std::unique_ptr<PredictionTable>> Make(
      const PredictionForm& form, TableFor use);
  ~PredictionTable();
  PredictionTable(const PredictionTable&) = delete;
  PredictionTable& operator=(const PredictionTable&) = delete;

  // (row,) prediction (int64, or a string where the form has names),
  // probability; where top_k is more than 1, predictions and probabilities; a
  // column for each layer; where the form has errors, error. A record with an
  // error has nulls in all others but row.
  const std::shared_ptr<arrow::Schema>& schema() const { return schema_; }

  absl::Status Add(const Prediction& prediction);

  // About, of what was added since the last Take.
  uint64_t size_bytes() const { return size_bytes_; }

  // What was added since, as rows.
  absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> Take();

 private:
  struct Columns;
  PredictionTable(const PredictionForm& form, TableFor use);

  // As the form's, kept.
  const std::vector<std::string> names_;
  std::shared_ptr<arrow::Schema> schema_;
  std::unique_ptr<arrow::RecordBatchBuilder> batch_;
  std::unique_ptr<Columns> columns_;
  int64_t row_;
  uint64_t size_bytes_ = 0;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_PREDICTION_TABLE_H_
