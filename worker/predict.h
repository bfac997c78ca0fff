// `tfd-worker predict`: an exported model's answer to every record of a file,
// one line each, in order.
#ifndef TFD_WORKER_PREDICT_H_
#define TFD_WORKER_PREDICT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tfd::worker {

struct PredictOptions {
  // The export's folder, its model.json, or a job's storage.
  std::string model;
  // idx, csv, parquet, arrow or tfrecord; empty: by the name of the input.
  std::string format;
  std::string input;
  // idx: the file of labels; else: the column. Empty: there are none.
  std::string labels;
  std::string label_column;
  // Not for idx: NAME,NAME,…; empty: all but the label.
  std::string feature_columns;
  // Not for idx: where features are images, what the column holds: bytes, path
  // or url; empty: numbers.
  std::string image;
  // As the spec's: fail or skip:N; empty: fail.
  std::string bad_rows;
  // Layers whose outputs are written too.
  std::vector<std::string> layers;
  // FILE.csv, FILE.jsonl, FILE.parquet or "-".
  std::string output = "-";
  int64_t top_k = 1;
  int64_t batch_size = 256;
  int threads = 1;
};

struct PredictSummary {
  int64_t records = 0;
  double seconds = 0;
  // Rows that could not be read, where bad_rows lets them pass.
  int64_t errors = 0;
  // Where there were labels.
  std::optional<double> accuracy;

  // "10,000 records in 0.8 s (12,500 records/s), accuracy 0.9912".
  std::string ToText() const;
};

// `progress` is called before every batch with how many records are done; what
// else than OK it says ends the run, and then no output file appears.
absl::StatusOr<PredictSummary> Predict(
    const PredictOptions& options,
    const std::function<absl::Status(int64_t done, int64_t records)>& progress);

}  // namespace tfd::worker

#endif  // TFD_WORKER_PREDICT_H_
