#include "worker/prediction_table.h"

#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_nested.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/record_batch.h>
#include <arrow/table_builder.h>
#include <arrow/type.h>

#include <set>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "data/arrow_status.h"

namespace tfd::worker {
namespace {

constexpr char kRow[] = "row";
constexpr char kPrediction[] = "prediction";
constexpr char kProbability[] = "probability";
constexpr char kPredictions[] = "predictions";
constexpr char kProbabilities[] = "probabilities";
constexpr char kError[] = "error";

// Row, error and labels that are names are about so large.
constexpr uint64_t kRowBytes = 64;

std::shared_ptr<arrow::Schema> SchemaOf(const PredictionForm& form,
                                        TableFor use) {
  const auto label = form.names.empty() ? arrow::int64() : arrow::utf8();
  arrow::FieldVector fields;
  if (use == TableFor::kFile) {
    fields.push_back(arrow::field(kRow, arrow::int64(), /*nullable=*/false));
  }
  fields.push_back(arrow::field(kPrediction, label));
  fields.push_back(arrow::field(kProbability, arrow::float32()));
  if (form.top_k > 1) {
    fields.push_back(arrow::field(kPredictions, arrow::list(label)));
    fields.push_back(
        arrow::field(kProbabilities, arrow::list(arrow::float32())));
  }
  for (const LayerOutput& layer : form.layers) {
    fields.push_back(arrow::field(
        layer.name, use == TableFor::kFile
                        ? arrow::fixed_size_list(
                              arrow::float32(), static_cast<int>(layer.width()))
                        : arrow::list(arrow::float32())));
  }
  if (form.errors) fields.push_back(arrow::field(kError, arrow::utf8()));
  return arrow::schema(std::move(fields));
}

// Appends a label as the column has it.
arrow::Status AppendLabel(int64_t label, const std::vector<std::string>& names,
                          arrow::ArrayBuilder* builder) {
  if (names.empty()) {
    return static_cast<arrow::Int64Builder*>(builder)->Append(label);
  }
  auto* text = static_cast<arrow::StringBuilder*>(builder);
  // A model may have more outputs than there are names.
  if (static_cast<size_t>(label) >= names.size()) {
    return text->Append(absl::StrCat(label));
  }
  return text->Append(names[label]);
}

}  // namespace

// The builders of the batch, by what they are of; null where there is none.
struct PredictionTable::Columns {
  arrow::Int64Builder* row = nullptr;
  arrow::ArrayBuilder* prediction = nullptr;
  arrow::FloatBuilder* probability = nullptr;
  arrow::ListBuilder* predictions = nullptr;
  arrow::ListBuilder* probabilities = nullptr;
  // Of lists of floats, of fixed size or not.
  std::vector<arrow::ArrayBuilder*> layers;
  arrow::StringBuilder* error = nullptr;

  // One after the other, as SchemaOf has them.
  Columns(const PredictionForm& form, TableFor use,
          arrow::RecordBatchBuilder* batch) {
    int at = 0;
    if (use == TableFor::kFile) {
      row = batch->GetFieldAs<arrow::Int64Builder>(at++);
    }
    prediction = batch->GetField(at++);
    probability = batch->GetFieldAs<arrow::FloatBuilder>(at++);
    if (form.top_k > 1) {
      predictions = batch->GetFieldAs<arrow::ListBuilder>(at++);
      probabilities = batch->GetFieldAs<arrow::ListBuilder>(at++);
    }
    for (size_t i = 0; i < form.layers.size(); ++i) {
      layers.push_back(batch->GetField(at++));
    }
    if (form.errors) error = batch->GetFieldAs<arrow::StringBuilder>(at++);
  }

  arrow::Status AppendError(const std::string& text) const {
    ARROW_RETURN_NOT_OK(prediction->AppendNull());
    ARROW_RETURN_NOT_OK(probability->AppendNull());
    if (predictions != nullptr) {
      ARROW_RETURN_NOT_OK(predictions->AppendNull());
      ARROW_RETURN_NOT_OK(probabilities->AppendNull());
    }
    for (arrow::ArrayBuilder* layer : layers) {
      ARROW_RETURN_NOT_OK(layer->AppendNull());
    }
    return error == nullptr ? arrow::Status::Invalid(text)
                            : error->Append(text);
  }

  arrow::Status AppendAnswer(const Prediction& one,
                             const std::vector<std::string>& names) const {
    ARROW_RETURN_NOT_OK(AppendLabel(one.top[0].label, names, prediction));
    ARROW_RETURN_NOT_OK(
        probability->Append(static_cast<float>(one.top[0].probability)));
    if (predictions != nullptr) {
      ARROW_RETURN_NOT_OK(predictions->Append());
      ARROW_RETURN_NOT_OK(probabilities->Append());
      auto* of_one =
          static_cast<arrow::FloatBuilder*>(probabilities->value_builder());
      for (const LabelProbability& candidate : one.top) {
        ARROW_RETURN_NOT_OK(
            AppendLabel(candidate.label, names, predictions->value_builder()));
        ARROW_RETURN_NOT_OK(
            of_one->Append(static_cast<float>(candidate.probability)));
      }
    }
    for (size_t i = 0; i < layers.size(); ++i) {
      ARROW_RETURN_NOT_OK(AppendLayer(one.layers[i], layers[i]));
    }
    return error == nullptr ? arrow::Status::OK() : error->AppendNull();
  }

 private:
  static arrow::Status AppendLayer(absl::Span<const float> numbers,
                                   arrow::ArrayBuilder* builder) {
    arrow::ArrayBuilder* values = nullptr;
    if (builder->type()->id() == arrow::Type::FIXED_SIZE_LIST) {
      auto* list = static_cast<arrow::FixedSizeListBuilder*>(builder);
      ARROW_RETURN_NOT_OK(list->Append());
      values = list->value_builder();
    } else {
      auto* list = static_cast<arrow::ListBuilder*>(builder);
      ARROW_RETURN_NOT_OK(list->Append());
      values = list->value_builder();
    }
    return static_cast<arrow::FloatBuilder*>(values)->AppendValues(
        numbers.data(), static_cast<int64_t>(numbers.size()));
  }
};

PredictionTable::PredictionTable(const PredictionForm& form, TableFor use)
    : names_(form.names.begin(), form.names.end()),
      schema_(SchemaOf(form, use)),
      row_(form.first_row) {}

PredictionTable::~PredictionTable() = default;

absl::StatusOr<std::unique_ptr<PredictionTable>> PredictionTable::Make(
    const PredictionForm& form, TableFor use) {
  auto table = absl::WrapUnique(new PredictionTable(form, use));
  std::set<std::string> columns;
  for (const auto& field : table->schema_->fields()) {
    if (columns.insert(field->name()).second) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("the layer \"", field->name(),
                     "\" would be a column that has this name already; write "
                     "the outputs to a .jsonl file"));
  }
  auto batch = arrow::RecordBatchBuilder::Make(table->schema_,
                                               arrow::default_memory_pool());
  if (!batch.ok()) return data::FromArrow(batch.status());
  table->batch_ = *std::move(batch);
  table->columns_ = std::make_unique<Columns>(form, use, table->batch_.get());
  return table;
}

absl::Status PredictionTable::Add(const Prediction& prediction) {
  if (columns_->row != nullptr) {
    TFD_RETURN_IF_ARROW_ERROR(columns_->row->Append(row_));
  }
  ++row_;
  size_bytes_ += kRowBytes + prediction.error.size() +
                 prediction.top.size() * sizeof(LabelProbability);
  if (!prediction.error.empty()) {
    return data::FromArrow(columns_->AppendError(prediction.error));
  }
  for (const absl::Span<const float> layer : prediction.layers) {
    size_bytes_ += layer.size() * sizeof(float);
  }
  return data::FromArrow(columns_->AppendAnswer(prediction, names_));
}

absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> PredictionTable::Take() {
  size_bytes_ = 0;
  auto batch = batch_->Flush();
  if (!batch.ok()) return data::FromArrow(batch.status());
  return *std::move(batch);
}

}  // namespace tfd::worker
