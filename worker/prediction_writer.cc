#include "worker/prediction_writer.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/status.h"

namespace tfd::worker {
namespace {

constexpr size_t kFlushBytes = 1 << 20;

std::string CsvHeader(int64_t top_k) {
  if (top_k == 1) return "row,label,probability\n";
  std::string header = "row";
  for (int64_t i = 1; i <= top_k; ++i) {
    absl::StrAppend(&header, ",label_", i, ",probability_", i);
  }
  return header + "\n";
}

// Quoted where it has to be (RFC 4180).
std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

}  // namespace

std::vector<LabelProbability> TopLabels(absl::Span<const float> logits,
                                        int64_t k) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  std::vector<int64_t> labels(logits.size());
  std::iota(labels.begin(), labels.end(), 0);
  const auto count = std::min<size_t>(k, logits.size());
  std::partial_sort(labels.begin(), labels.begin() + count, labels.end(),
                    [&logits](int64_t a, int64_t b) {
                      return logits[a] != logits[b] ? logits[a] > logits[b]
                                                    : a < b;
                    });
  std::vector<LabelProbability> top(count);
  for (size_t i = 0; i < count; ++i) {
    top[i] = {labels[i], std::exp(logits[labels[i]] - largest) / sum};
  }
  return top;
}

absl::StatusOr<std::unique_ptr<PredictionWriter>> PredictionWriter::Create(
    const std::string& path, const PredictionForm& form) {
  std::unique_ptr<WritableFile> file;
  const bool json_lines = absl::EndsWith(path, ".jsonl");
  if (path != "-") {
    if (!json_lines && !absl::EndsWith(path, ".csv")) {
      return absl::InvalidArgumentError(absl::StrCat(
          "predictions are written to a name that ends in .csv or .jsonl, or "
          "to - for standard output, and not to ",
          path));
    }
    TFD_ASSIGN_OR_RETURN(const Location location, ResolveUri(path));
    TFD_ASSIGN_OR_RETURN(file,
                         location.file_system->OpenForWriting(location.path));
  }
  auto writer =
      absl::WrapUnique(new PredictionWriter(std::move(file), form, json_lines));
  if (!json_lines) writer->text_ = CsvHeader(form.top_k);
  return writer;
}

PredictionWriter::PredictionWriter(std::unique_ptr<WritableFile> file,
                                   const PredictionForm& form, bool json_lines)
    : file_(std::move(file)), json_lines_(json_lines), row_(form.first_row) {
  for (const std::string& name : form.names) {
    names_.push_back(json_lines ? nlohmann::json(name).dump() : CsvField(name));
  }
}

// A model may have more outputs than there are names.
std::string PredictionWriter::LabelText(int64_t label) const {
  return static_cast<size_t>(label) < names_.size() ? names_[label]
                                                    : absl::StrCat(label);
}

absl::Status PredictionWriter::Add(const std::vector<LabelProbability>& top) {
  if (!json_lines_) {
    absl::StrAppend(&text_, row_);
    for (const LabelProbability& one : top) {
      absl::StrAppendFormat(&text_, ",%s,%.6f", LabelText(one.label),
                            one.probability);
    }
    text_ += '\n';
  } else {
    absl::StrAppendFormat(&text_, "{\"row\": %d, \"predictions\": [", row_);
    const char* separator = "";
    for (const LabelProbability& one : top) {
      absl::StrAppendFormat(&text_, "%s{\"label\": %s, \"probability\": %.6f}",
                            separator, LabelText(one.label), one.probability);
      separator = ", ";
    }
    text_ += "]}\n";
  }
  ++row_;
  return text_.size() < kFlushBytes ? absl::OkStatus() : Flush();
}

absl::Status PredictionWriter::Flush() {
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

absl::Status PredictionWriter::Finish() {
  TFD_RETURN_IF_ERROR(Flush());
  return file_ == nullptr ? absl::OkStatus() : file_->Commit();
}

}  // namespace tfd::worker
