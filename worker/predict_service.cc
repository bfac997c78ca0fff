#include "worker/predict_service.h"

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/ipc/dictionary.h>
#include <arrow/ipc/message.h>
#include <arrow/ipc/reader.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <grpcpp/support/byte_buffer.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "arrow/flight/protocol/Flight.grpc.pb.h"
#include "common/net/server.h"
#include "common/status.h"
#include "common/units.h"
#include "data/arrow_status.h"
#include "data/feed/flight_data.h"
#include "data/feed/put_stream.h"
#include "data/feed/stream_calls.h"
#include "data/preprocess.h"
#include "data/record_schema.h"
#include "worker/batch_predictor.h"
#include "worker/prediction_batch.h"

namespace tfd::worker {
namespace {

namespace flight = arrow::flight::protocol;

// How long a caller may be silent, and how long an answer may take to leave.
constexpr absl::Duration kCallerPatience = absl::Hours(1);
constexpr absl::Duration kAnswerPatience = absl::Minutes(1);

// What a call needs to be answered, kept for its next batch.
struct Workspace {
  std::vector<float> features;
  BatchOutputs outputs;
};

// Writes the features of a row, preprocessed.
using ReadRow = std::function<absl::Status(int64_t row, float* to)>;

// The one model of the process and what is done to features before it.
class Answerer {
 public:
  Answerer(const PredictServiceOptions& options, TrainedModel trained)
      : options_(options),
        description_(std::move(trained.description)),
        layers_(trained.model->layers()),
        model_(std::move(trained.model)) {}

  const PredictServiceOptions& options() const { return options_; }

  absl::Status CheckWidth(const data::RowWidths& widths) const {
    const int64_t given =
        std::accumulate(widths.begin(), widths.end(), int64_t{0});
    const int64_t wanted = RecordElements();
    if (given == wanted) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("a row has ", given, " numbers, and the model takes ",
                     wanted, " ([", absl::StrJoin(description_.input, ", "),
                     "]): send only the columns of features"));
  }

  // The columns of all answers.
  PredictionForm Form() const {
    PredictionForm form;
    form.top_k = options_.top_k;
    form.names = options_.names;
    form.layers = layers_;
    return form;
  }

  // What is done to features of this type.
  data::AffineTransform Transform(data::Dtype dtype) const {
    return data::AffineTransform(
        data::Preprocess(description_.preprocess).Resolve(dtype));
  }

  // An answer for each row, in their order.
  absl::Status Answer(int64_t rows, const ReadRow& read, Workspace* work,
                      PredictionEncoder* answers) {
    for (int64_t begin = 0; begin < rows; begin += options_.batch_size) {
      TFD_RETURN_IF_ERROR(
          AnswerSome(begin, std::min(rows, begin + options_.batch_size), read,
                     work, answers));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status AnswerSome(int64_t begin, int64_t end, const ReadRow& read,
                          Workspace* work, PredictionEncoder* answers) {
    const int64_t elements = RecordElements();
    work->features.resize((end - begin) * elements);
    float* to = work->features.data();
    for (int64_t row = begin; row < end; ++row, to += elements) {
      TFD_RETURN_IF_ERROR(read(row, to));
    }
    {
      absl::MutexLock lock(&mutex_);
      TFD_RETURN_IF_ERROR(
          model_->Forward({work->features.data(), nullptr, end - begin},
                          &work->outputs.logits, &work->outputs.layers));
    }
    for (int64_t i = 0; i < end - begin; ++i) {
      TFD_RETURN_IF_ERROR(answers->Add(PredictionOf(
          work->outputs, description_.classes, layers_, i, options_.top_k)));
    }
    return absl::OkStatus();
  }

  int64_t RecordElements() const {
    return std::accumulate(description_.input.begin(), description_.input.end(),
                           int64_t{1}, std::multiplies<int64_t>());
  }

  const PredictServiceOptions options_;
  const ModelDescription description_;
  const std::vector<LayerOutput> layers_;
  absl::Mutex mutex_;
  const std::unique_ptr<Model> model_ ABSL_PT_GUARDED_BY(mutex_);
};

// A schema message.
absl::StatusOr<std::shared_ptr<arrow::Schema>> ReadSchema(
    const std::shared_ptr<arrow::Buffer>& header) {
  const auto damaged = [](const arrow::Status& status) {
    return absl::InvalidArgumentError(
        absl::StrCat("the schema is damaged: ", status.message()));
  };
  auto message = arrow::ipc::Message::Open(header, nullptr);
  if (!message.ok()) return damaged(message.status());
  if ((*message)->type() != arrow::ipc::MessageType::SCHEMA) {
    return absl::InvalidArgumentError(
        "the first Arrow message of an exchange is its schema");
  }
  arrow::ipc::DictionaryMemo dictionaries;
  auto schema = arrow::ipc::ReadSchema(**message, &dictionaries);
  if (!schema.ok()) return damaged(schema.status());
  return *std::move(schema);
}

absl::Status CheckImageColumn(const arrow::Schema& schema) {
  if (schema.num_fields() == 1 &&
      data::IsBytesOrText(*schema.field(0)->type())) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "the job answers images: send one column of them, binary, and not {",
      schema.ToString(), "}"));
}

// One call, on its thread.
class ExchangeSession {
 public:
  ExchangeSession(Answerer* answerer, data::PutStream* stream)
      : answerer_(answerer), stream_(stream) {}

  absl::Status Run() {
    TFD_ASSIGN_OR_RETURN(encoder_, PredictionEncoder::Make(answerer_->Form()));
    bool first = true;
    while (true) {
      grpc::ByteBuffer message;
      switch (stream_->Read(&message, kCallerPatience)) {
        case data::PutStream::ReadResult::kMessage:
          break;
        case data::PutStream::ReadResult::kEnd:
          return absl::OkStatus();
        case data::PutStream::ReadResult::kTimeout:
          return absl::DeadlineExceededError(
              absl::StrCat("waited ", tfd::FormatDuration(kCallerPatience),
                           " for the caller's next rows"));
      }
      TFD_ASSIGN_OR_RETURN(const data::FlightData data, reader_.Read(message));
      if (std::exchange(first, false)) {
        TFD_RETURN_IF_ERROR(CheckDescriptor(data.descriptor));
      }
      // A message of metadata alone.
      if (!data.header) continue;
      TFD_RETURN_IF_ERROR(schema_ == nullptr ? TakeSchema(data) : Take(data));
    }
  }

 private:
  absl::Status CheckDescriptor(const std::string& bytes) const {
    flight::FlightDescriptor descriptor;
    if (bytes.empty() || !descriptor.ParseFromString(bytes) ||
        descriptor.type() != flight::FlightDescriptor::PATH ||
        descriptor.path_size() != 3 || descriptor.path(0) != "jobs" ||
        descriptor.path(2) != "predict") {
      return absl::InvalidArgumentError(
          "the first message needs a descriptor with the path [\"jobs\", JOB, "
          "\"predict\"]");
    }
    if (descriptor.path(1) == answerer_->options().job) return absl::OkStatus();
    return absl::NotFoundError(absl::StrCat(
        "this worker is of job ", answerer_->options().job, " and not of \"",
        absl::CHexEscape(descriptor.path(1)),
        "\": ask the coordinator (GetFlightInfo) where that job's are"));
  }

  absl::Status TakeSchema(const data::FlightData& data) {
    TFD_ASSIGN_OR_RETURN(const std::shared_ptr<arrow::Schema> columns,
                         ReadSchema(data.header));
    data::ColumnNames features;
    if (answerer_->options().image) {
      // No features: a batch comes as it is.
      TFD_RETURN_IF_ERROR(CheckImageColumn(*columns));
    } else {
      features.features = columns->field_names();
    }
    TFD_ASSIGN_OR_RETURN(data::RecordSchema schema,
                         data::RecordSchema::Make(data.header, features));
    schema_ = std::make_unique<data::RecordSchema>(std::move(schema));
    TFD_ASSIGN_OR_RETURN(const grpc::ByteBuffer answer, encoder_->Schema());
    return Send(answer);
  }

  absl::Status Take(const data::FlightData& data) {
    constexpr int64_t kAnyLabel = 0;
    TFD_ASSIGN_OR_RETURN(
        const data::RecordRows rows,
        schema_->Decode(data.header, data.body, rows_, kAnyLabel, &widths_));
    TFD_RETURN_IF_ERROR(Annotate(
        answerer_->options().image ? AnswerImages(rows) : AnswerNumbers(rows),
        absl::StrCat("rows from ", rows_, " on")));
    rows_ += rows.rows;
    TFD_ASSIGN_OR_RETURN(const grpc::ByteBuffer answer, encoder_->TakeBatch());
    return Send(answer);
  }

  absl::Status AnswerNumbers(const data::RecordRows& rows) {
    if (rows.rows > 0) TFD_RETURN_IF_ERROR(answerer_->CheckWidth(widths_));
    std::vector<data::AffineTransform> transforms;
    for (const data::ColumnView& column : rows.features) {
      transforms.push_back(answerer_->Transform(column.dtype));
    }
    const auto read = [&](int64_t row, float* to) {
      for (size_t i = 0; i < rows.features.size(); ++i) {
        const data::ColumnView& column = rows.features[i];
        transforms[i].Apply(
            column.dtype,
            column.base + row * column.width * data::SizeBytes(column.dtype),
            column.width, to);
        to += column.width;
      }
      return absl::OkStatus();
    };
    return answerer_->Answer(rows.rows, read, &work_, &*encoder_);
  }

  absl::Status AnswerImages(const data::RecordRows& rows) {
    const std::shared_ptr<arrow::Array> images = rows.owner->column(0);
    const data::AffineTransform transform =
        answerer_->Transform(data::Dtype::kUint8);
    const auto read = [&](int64_t row, float* to) {
      const auto image = data::BytesAt(*images, row);
      return Annotate(image.ok()
                          ? data::ReadImage(*image, *answerer_->options().image,
                                            transform, to)
                          : image.status(),
                      absl::StrCat("row ", rows_ + row));
    };
    return answerer_->Answer(rows.rows, read, &work_, &*encoder_);
  }

  absl::Status Send(const grpc::ByteBuffer& message) {
    if (stream_->WriteMessage(message, kAnswerPatience)) {
      return absl::OkStatus();
    }
    return absl::CancelledError(
        absl::StrCat("the caller is gone, or has not read its answers for ",
                     tfd::FormatDuration(kAnswerPatience),
                     ": answers are to be read while rows are written"));
  }

  Answerer* const answerer_;
  data::PutStream* const stream_;
  // Set when it runs.
  std::optional<PredictionEncoder> encoder_;
  data::FlightDataReader reader_;
  std::unique_ptr<data::RecordSchema> schema_;
  data::RowWidths widths_;
  int64_t rows_ = 0;
  Workspace work_;
};

class PredictServiceImpl final
    : public PredictService,
      public flight::FlightService::WithRawCallbackMethod_DoExchange<
          flight::FlightService::Service> {
 public:
  PredictServiceImpl(const PredictServiceOptions& options, TrainedModel model)
      : answerer_(options, std::move(model)), calls_("this worker") {}
  ~PredictServiceImpl() override { Stop(); }

  grpc::Service* service() override { return this; }
  void Stop() override { calls_.Stop(); }

  data::StreamCalls::Reactor* DoExchange(
      grpc::CallbackServerContext* context) override {
    const absl::Status allowed =
        net::CheckToken(*context, answerer_.options().token);
    if (!allowed.ok()) return data::StreamCalls::Refuse(allowed);
    return calls_.Start(context, [this](data::PutStream& stream) {
      return ExchangeSession(&answerer_, &stream).Run();
    });
  }

 private:
  Answerer answerer_;
  data::StreamCalls calls_;
};

}  // namespace

std::unique_ptr<PredictService> MakePredictService(
    const PredictServiceOptions& options, TrainedModel model) {
  return std::make_unique<PredictServiceImpl>(options, std::move(model));
}

}  // namespace tfd::worker
