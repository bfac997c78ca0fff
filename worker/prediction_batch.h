// Answers as Arrow record batches in Flight's messages.
#ifndef TFD_WORKER_PREDICTION_BATCH_H_
#define TFD_WORKER_PREDICTION_BATCH_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prediction_writer.h"

namespace arrow {
class Schema;
}

namespace tfd::worker {

// The columns: see predict_service.h. Immutable, thread-safe.
class PredictionEncoder {
 public:
  // `names` is not owned; empty: labels are numbers.
  PredictionEncoder(int64_t top_k, const std::vector<std::string>* names);
  ~PredictionEncoder();

  // FlightData messages.
  absl::StatusOr<grpc::ByteBuffer> Schema() const;
  // A row for each answer; each has as many labels as the others.
  absl::StatusOr<grpc::ByteBuffer> Batch(
      const std::vector<std::vector<LabelProbability>>& answers) const;

 private:
  const bool lists_;
  const std::vector<std::string>* const names_;
  const std::shared_ptr<arrow::Schema> schema_;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_PREDICTION_BATCH_H_
