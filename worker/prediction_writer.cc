#include "worker/prediction_writer.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/fs/file_system.h"
#include "common/status.h"
#include "data/parquet_file.h"
#include "worker/prediction_table.h"

namespace tfd::worker {
namespace {

constexpr size_t kFlushBytes = 1 << 20;
// Rows are handed to Parquet in so large pieces.
constexpr uint64_t kTableBytes = 8 << 20;

std::string CsvHeader(const PredictionForm& form) {
  std::string header = "row";
  if (form.top_k == 1) header += ",label,probability";
  for (int64_t i = 1; form.top_k > 1 && i <= form.top_k; ++i) {
    absl::StrAppend(&header, ",label_", i, ",probability_", i);
  }
  if (form.errors) header += ",error";
  return header + "\n";
}

// Quoted where it has to be (RFC 4180).
std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

// What is no UTF-8 is replaced, as JSON knows nothing else.
std::string JsonText(const std::string& text) {
  return nlohmann::json(text).dump(
      /*indent=*/-1, ' ', /*ensure_ascii=*/false,
      nlohmann::json::error_handler_t::replace);
}

// As few digits as give the same float again; JSON has no other numbers than
// finite ones.
void AppendNumber(float number, std::string* text) {
  if (!std::isfinite(number)) {
    *text += "null";
    return;
  }
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
  text->append(digits, end);
}

class TextWriter : public PredictionWriter {
 public:
  // A null file is standard output.
  TextWriter(std::unique_ptr<WritableFile> file, const PredictionForm& form,
             bool json_lines)
      : file_(std::move(file)),
        json_lines_(json_lines),
        errors_(form.errors),
        top_k_(form.top_k),
        row_(form.first_row) {
    for (const std::string& name : form.names) {
      names_.push_back(json_lines ? JsonText(name) : CsvField(name));
    }
    for (const LayerOutput& layer : form.layers) {
      layers_.push_back(JsonText(layer.name));
    }
    if (!json_lines) text_ = CsvHeader(form);
  }

  absl::Status Add(const Prediction& prediction) override {
    if (json_lines_) {
      AddJson(prediction);
    } else {
      AddCsv(prediction);
    }
    ++row_;
    return text_.size() < kFlushBytes ? absl::OkStatus() : Flush();
  }

  absl::Status Finish() override {
    TFD_RETURN_IF_ERROR(Flush());
    return file_ == nullptr ? absl::OkStatus() : file_->Commit();
  }

 private:
  // A model may have more outputs than there are names.
  std::string LabelText(int64_t label) const {
    return static_cast<size_t>(label) < names_.size() ? names_[label]
                                                      : absl::StrCat(label);
  }

  void AddCsv(const Prediction& prediction) {
    absl::StrAppend(&text_, row_);
    if (!prediction.error.empty()) {
      for (int64_t i = 0; i < top_k_; ++i) text_ += ",,";
    } else {
      for (const LabelProbability& one : prediction.top) {
        absl::StrAppendFormat(&text_, ",%s,%.6f", LabelText(one.label),
                              one.probability);
      }
    }
    if (errors_) absl::StrAppend(&text_, ",", CsvField(prediction.error));
    text_ += '\n';
  }

  void AddJson(const Prediction& prediction) {
    absl::StrAppendFormat(&text_, "{\"row\": %d, ", row_);
    if (!prediction.error.empty()) {
      absl::StrAppend(&text_, "\"error\": ", JsonText(prediction.error), "}\n");
      return;
    }
    text_ += "\"predictions\": [";
    const char* separator = "";
    for (const LabelProbability& one : prediction.top) {
      absl::StrAppendFormat(&text_, "%s{\"label\": %s, \"probability\": %.6f}",
                            separator, LabelText(one.label), one.probability);
      separator = ", ";
    }
    text_ += ']';
    if (!layers_.empty()) AddLayers(prediction);
    text_ += "}\n";
  }

  void AddLayers(const Prediction& prediction) {
    text_ += ", \"outputs\": {";
    for (size_t i = 0; i < layers_.size(); ++i) {
      absl::StrAppend(&text_, i == 0 ? "" : ", ", layers_[i], ": [");
      const char* separator = "";
      for (const float number : prediction.layers[i]) {
        text_ += separator;
        AppendNumber(number, &text_);
        separator = ", ";
      }
      text_ += ']';
    }
    text_ += '}';
  }

  absl::Status Flush() {
    if (file_ != nullptr) {
      TFD_RETURN_IF_ERROR(file_->Append(text_.data(), text_.size()));
    } else if (std::fwrite(text_.data(), 1, text_.size(), stdout) !=
                   text_.size() ||
               std::fflush(stdout) != 0) {
      return ErrnoStatus(errno, "writing predictions to standard output");
    }
    text_.clear();
    return absl::OkStatus();
  }

  const std::unique_ptr<WritableFile> file_;
  const bool json_lines_;
  const bool errors_;
  const int64_t top_k_;
  // As they are written.
  std::vector<std::string> names_;
  std::vector<std::string> layers_;
  std::string text_;
  int64_t row_;
};

class ParquetPredictionWriter : public PredictionWriter {
 public:
  ParquetPredictionWriter(std::unique_ptr<PredictionTable> table,
                          std::unique_ptr<data::TableWriter> file)
      : table_(std::move(table)), file_(std::move(file)) {}

  absl::Status Add(const Prediction& prediction) override {
    TFD_RETURN_IF_ERROR(table_->Add(prediction));
    return table_->size_bytes() < kTableBytes ? absl::OkStatus() : Flush();
  }

  absl::Status Finish() override {
    TFD_RETURN_IF_ERROR(Flush());
    return file_->Finish();
  }

 private:
  absl::Status Flush() {
    TFD_ASSIGN_OR_RETURN(const std::shared_ptr<arrow::RecordBatch> batch,
                         table_->Take());
    return file_->Write(*batch);
  }

  const std::unique_ptr<PredictionTable> table_;
  const std::unique_ptr<data::TableWriter> file_;
};

absl::StatusOr<std::unique_ptr<PredictionWriter>> CreateParquetWriter(
    const std::string& path, const PredictionForm& form) {
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<PredictionTable> table,
                       PredictionTable::Make(form, TableFor::kFile));
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<data::TableWriter> file,
                       data::CreateParquet(path, table->schema()));
  return std::make_unique<ParquetPredictionWriter>(std::move(table),
                                                   std::move(file));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PredictionWriter>> PredictionWriter::Create(
    const std::string& path, const PredictionForm& form) {
  if (absl::EndsWith(path, ".parquet")) return CreateParquetWriter(path, form);
  const bool json_lines = absl::EndsWith(path, ".jsonl");
  if (!json_lines && !form.layers.empty()) {
    return absl::InvalidArgumentError(
        "the outputs of layers are lists of numbers, which CSV does not have: "
        "write to a name that ends in .jsonl or .parquet");
  }
  std::unique_ptr<WritableFile> file;
  if (path != "-") {
    if (!json_lines && !absl::EndsWith(path, ".csv")) {
      return absl::InvalidArgumentError(absl::StrCat(
          "predictions are written to a name that ends in .csv, .jsonl or "
          ".parquet, or to - for standard output, and not to ",
          path));
    }
    TFD_ASSIGN_OR_RETURN(const Location location, ResolveUri(path));
    TFD_ASSIGN_OR_RETURN(file,
                         location.file_system->OpenForWriting(location.path));
  }
  return std::make_unique<TextWriter>(std::move(file), form, json_lines);
}

}  // namespace tfd::worker
