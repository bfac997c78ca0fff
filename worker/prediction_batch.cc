#include "worker/prediction_batch.h"

#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_nested.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/buffer.h>
#include <arrow/ipc/dictionary.h>
#include <arrow/ipc/options.h>
#include <arrow/ipc/writer.h>
#include <arrow/record_batch.h>
#include <arrow/table_builder.h>
#include <arrow/type.h>
#include <grpcpp/support/slice.h>

#include <utility>

#include "arrow/flight/protocol/Flight.pb.h"
#include "common/status.h"
#include "data/arrow_status.h"

namespace tfd::worker {
namespace {

// Arrow pads every buffer of a body to this.
constexpr size_t kBodyAlignment = 8;

std::shared_ptr<arrow::Schema> SchemaFor(bool lists, bool named) {
  const auto label = named ? arrow::utf8() : arrow::int64();
  arrow::FieldVector fields = {arrow::field("prediction", label),
                               arrow::field("probability", arrow::float32())};
  if (lists) {
    fields.push_back(arrow::field("predictions", arrow::list(label)));
    fields.push_back(
        arrow::field("probabilities", arrow::list(arrow::float32())));
  }
  return arrow::schema(std::move(fields));
}

grpc::ByteBuffer ToMessage(const arrow::ipc::IpcPayload& payload) {
  arrow::flight::protocol::FlightData data;
  data.set_data_header(payload.metadata->data(), payload.metadata->size());
  std::string& body = *data.mutable_data_body();
  body.reserve(payload.body_length);
  for (const std::shared_ptr<arrow::Buffer>& buffer : payload.body_buffers) {
    if (buffer == nullptr) continue;
    body.append(reinterpret_cast<const char*>(buffer->data()), buffer->size());
    body.resize((body.size() + kBodyAlignment - 1) / kBodyAlignment *
                kBodyAlignment);
  }
  const grpc::Slice slice(data.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// Appends labels as the column has them.
class LabelAppender {
 public:
  LabelAppender(const std::vector<std::string>* names,
                arrow::ArrayBuilder* builder)
      : names_(names), builder_(builder) {}

  arrow::Status Append(int64_t label) {
    if (names_->empty()) {
      return static_cast<arrow::Int64Builder*>(builder_)->Append(label);
    }
    return static_cast<arrow::StringBuilder*>(builder_)->Append(
        (*names_)[label]);
  }

 private:
  const std::vector<std::string>* const names_;
  arrow::ArrayBuilder* const builder_;
};

arrow::Status AppendAll(
    const std::vector<std::vector<LabelProbability>>& answers,
    const std::vector<std::string>* names, arrow::RecordBatchBuilder* batch) {
  LabelAppender first(names, batch->GetField(0));
  auto* probability = batch->GetFieldAs<arrow::FloatBuilder>(1);
  for (const std::vector<LabelProbability>& top : answers) {
    ARROW_RETURN_NOT_OK(first.Append(top[0].label));
    ARROW_RETURN_NOT_OK(
        probability->Append(static_cast<float>(top[0].probability)));
  }
  if (batch->num_fields() == 2) return arrow::Status::OK();
  auto* labels = batch->GetFieldAs<arrow::ListBuilder>(2);
  auto* probabilities = batch->GetFieldAs<arrow::ListBuilder>(3);
  LabelAppender one(names, labels->value_builder());
  auto* of_one =
      static_cast<arrow::FloatBuilder*>(probabilities->value_builder());
  for (const std::vector<LabelProbability>& top : answers) {
    ARROW_RETURN_NOT_OK(labels->Append());
    ARROW_RETURN_NOT_OK(probabilities->Append());
    for (const LabelProbability& candidate : top) {
      ARROW_RETURN_NOT_OK(one.Append(candidate.label));
      ARROW_RETURN_NOT_OK(
          of_one->Append(static_cast<float>(candidate.probability)));
    }
  }
  return arrow::Status::OK();
}

arrow::Result<std::shared_ptr<arrow::RecordBatch>> MakeBatch(
    const std::vector<std::vector<LabelProbability>>& answers,
    const std::vector<std::string>* names,
    const std::shared_ptr<arrow::Schema>& schema) {
  ARROW_ASSIGN_OR_RAISE(
      const std::unique_ptr<arrow::RecordBatchBuilder> builder,
      arrow::RecordBatchBuilder::Make(schema, arrow::default_memory_pool()));
  ARROW_RETURN_NOT_OK(AppendAll(answers, names, builder.get()));
  return builder->Flush();
}

}  // namespace

PredictionEncoder::PredictionEncoder(int64_t top_k,
                                     const std::vector<std::string>* names)
    : lists_(top_k > 1),
      names_(names),
      schema_(SchemaFor(lists_, !names->empty())) {}

PredictionEncoder::~PredictionEncoder() = default;

absl::StatusOr<grpc::ByteBuffer> PredictionEncoder::Schema() const {
  arrow::ipc::IpcPayload payload;
  const arrow::ipc::DictionaryFieldMapper mapper(*schema_);
  TFD_RETURN_IF_ERROR(data::FromArrow(arrow::ipc::GetSchemaPayload(
      *schema_, arrow::ipc::IpcWriteOptions::Defaults(), mapper, &payload)));
  return ToMessage(payload);
}

absl::StatusOr<grpc::ByteBuffer> PredictionEncoder::Batch(
    const std::vector<std::vector<LabelProbability>>& answers) const {
  const auto batch = MakeBatch(answers, names_, schema_);
  TFD_RETURN_IF_ERROR(data::FromArrow(batch.status()));
  arrow::ipc::IpcPayload payload;
  TFD_RETURN_IF_ERROR(data::FromArrow(arrow::ipc::GetRecordBatchPayload(
      **batch, arrow::ipc::IpcWriteOptions::Defaults(), &payload)));
  return ToMessage(payload);
}

}  // namespace tfd::worker
