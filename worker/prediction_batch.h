// Answers as Arrow record batches in Flight's messages.
#ifndef TFD_WORKER_PREDICTION_BATCH_H_
#define TFD_WORKER_PREDICTION_BATCH_H_

#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/prediction.h"
#include "worker/prediction_table.h"

namespace tfd::worker {

// The columns: see predict_service.h. Of one call: thread-compatible.
class PredictionEncoder {
 public:
  static absl::StatusOr<PredictionEncoder> Make(const PredictionForm& form);

  // FlightData messages.
  absl::StatusOr<grpc::ByteBuffer> Schema() const;
  // The answer to the next row.
  absl::Status Add(const Prediction& answer) { return table_->Add(answer); }
  // A row for each answer that was added since the last batch.
  absl::StatusOr<grpc::ByteBuffer> TakeBatch();

 private:
  explicit PredictionEncoder(std::unique_ptr<PredictionTable> table)
      : table_(std::move(table)) {}

  std::unique_ptr<PredictionTable> table_;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_PREDICTION_BATCH_H_
