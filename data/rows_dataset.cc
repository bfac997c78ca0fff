#include "data/rows_dataset.h"

#include <algorithm>
#include <utility>

#include "common/status.h"
#include "data/record_checks.h"

namespace tfd::data {
namespace {

class RowsDataset : public Dataset {
 public:
  RowsDataset(DatasetInfo info, std::vector<RecordRows> batches,
              std::vector<std::unique_ptr<RandomAccessFile>> files)
      : info_(std::move(info)),
        transform_(info_.preprocess),
        files_(std::move(files)) {
    info_.records = 0;
    for (RecordRows& batch : batches) {
      if (batch.rows == 0) continue;
      info_.records += batch.rows;
      parts_.push_back({info_.records, std::move(batch)});
    }
  }

  const DatasetInfo& info() const override { return info_; }

  absl::Status ReadBatch(absl::Span<const uint64_t> records,
                         Batch* out) const override {
    TFD_RETURN_IF_ERROR(CheckRecords(info_, records));
    out->Resize(static_cast<int64_t>(records.size()), info_.elements);
    float* to = out->features();
    for (size_t i = 0; i < records.size(); ++i) {
      const auto [rows, row] = Find(records[i]);
      for (const ColumnView& column : rows->features) {
        transform_.Apply(
            column.dtype,
            column.base + row * column.width * SizeBytes(column.dtype),
            column.width, to);
        to += column.width;
      }
      out->labels()[i] = info_.has_labels ? LabelAt(rows->label, row) : 0;
    }
    return absl::OkStatus();
  }

  absl::Status ReadLabels(absl::Span<const uint64_t> records,
                          int64_t* out) const override {
    TFD_RETURN_IF_ERROR(CheckRecords(info_, records));
    for (size_t i = 0; i < records.size(); ++i) {
      const auto [rows, row] = Find(records[i]);
      out[i] = info_.has_labels ? LabelAt(rows->label, row) : 0;
    }
    return absl::OkStatus();
  }

 private:
  struct Part {
    // The first record that is past it.
    uint64_t end = 0;
    RecordRows rows;
  };

  // The rows that have the record, and its place there.
  std::pair<const RecordRows*, int64_t> Find(uint64_t record) const {
    const auto part = std::upper_bound(
        parts_.begin(), parts_.end(), record,
        [](uint64_t number, const Part& p) { return number < p.end; });
    return {&part->rows,
            static_cast<int64_t>(record - part->end) + part->rows.rows};
  }

  DatasetInfo info_;
  const AffineTransform transform_;
  const std::vector<std::unique_ptr<RandomAccessFile>> files_;
  std::vector<Part> parts_;
};

}  // namespace

DatasetInfo InfoOf(std::string source, const RecordSchema& schema,
                   const RowWidths& widths, const Preprocess& preprocess) {
  DatasetInfo info;
  info.source = std::move(source);
  info.shape = schema.Shape(widths);
  info.elements = 0;
  for (const int64_t width : widths) info.elements += width;
  info.dtype = schema.dtype();
  info.has_labels = schema.has_label();
  info.preprocess = preprocess.Resolve(info.dtype);
  return info;
}

std::unique_ptr<Dataset> MakeRowsDataset(
    DatasetInfo info, std::vector<RecordRows> batches,
    std::vector<std::unique_ptr<RandomAccessFile>> files) {
  return std::make_unique<RowsDataset>(std::move(info), std::move(batches),
                                       std::move(files));
}

}  // namespace tfd::data
