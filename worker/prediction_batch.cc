#include "worker/prediction_batch.h"

#include <arrow/buffer.h>
#include <arrow/ipc/dictionary.h>
#include <arrow/ipc/options.h>
#include <arrow/ipc/writer.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <grpcpp/support/slice.h>

#include <utility>

#include "arrow/flight/protocol/Flight.pb.h"
#include "common/status.h"
#include "data/arrow_status.h"
#include "data/feed/flight_data.h"

namespace tfd::worker {
namespace {

grpc::ByteBuffer ToMessage(const arrow::ipc::IpcPayload& payload) {
  const grpc::Slice slice(data::FlightDataOf(payload).SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

absl::StatusOr<PredictionEncoder> PredictionEncoder::Make(
    const PredictionForm& form) {
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<PredictionTable> table,
                       PredictionTable::Make(form, TableFor::kAnswer));
  return PredictionEncoder(std::move(table));
}

absl::StatusOr<grpc::ByteBuffer> PredictionEncoder::Schema() const {
  arrow::ipc::IpcPayload payload;
  const arrow::ipc::DictionaryFieldMapper mapper(*table_->schema());
  TFD_RETURN_IF_ERROR(data::FromArrow(arrow::ipc::GetSchemaPayload(
      *table_->schema(), arrow::ipc::IpcWriteOptions::Defaults(), mapper,
      &payload)));
  return ToMessage(payload);
}

absl::StatusOr<grpc::ByteBuffer> PredictionEncoder::TakeBatch() {
  TFD_ASSIGN_OR_RETURN(const std::shared_ptr<arrow::RecordBatch> batch,
                       table_->Take());
  arrow::ipc::IpcPayload payload;
  TFD_RETURN_IF_ERROR(data::FromArrow(arrow::ipc::GetRecordBatchPayload(
      *batch, arrow::ipc::IpcWriteOptions::Defaults(), &payload)));
  return ToMessage(payload);
}

}  // namespace tfd::worker
