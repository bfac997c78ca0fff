// IDX files as tables and tables as IDX files, for conversion. (As a dataset,
// idx.h reads them.)
#ifndef TFD_DATA_IDX_TABLE_H_
#define TFD_DATA_IDX_TABLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/fs/file_system.h"
#include "data/columns.h"
#include "data/dtype.h"
#include "data/record_schema.h"
#include "data/table_file.h"

namespace tfd::data {

enum class ImageColumn {
  // Bytes are binary, other numbers flat lists: what every program reads.
  kFlat,
  // Lists of lists of fixed size.
  kShaped,
};

// The columns "features" and, where `labels` is given, `label_column`.
absl::StatusOr<std::unique_ptr<TableReader>> OpenIdxTable(
    const std::string& features, const std::string& labels,
    const std::string& label_column, ImageColumn image_column);

// Writes a table as IDX, whose header says how many records there are and of
// which type: so all of it is shown twice, first to Survey, then to Write.
// Integers get the smallest type that holds them all. Thread-compatible.
class IdxTableWriter {
 public:
  // names.label is empty where no labels are to be written.
  static absl::StatusOr<std::unique_ptr<IdxTableWriter>> Make(
      std::shared_ptr<arrow::Schema> schema, const ColumnNames& names);

  absl::Status Survey(std::shared_ptr<arrow::RecordBatch> batch);
  // Between the two. `labels` is empty where there are none.
  absl::Status Create(const std::string& features, const std::string& labels);
  absl::Status Write(std::shared_ptr<arrow::RecordBatch> batch);
  absl::Status Finish();

 private:
  explicit IdxTableWriter(RecordSchema schema) : schema_(std::move(schema)) {}

  absl::StatusOr<Dtype> FeatureType() const;

  const RecordSchema schema_;
  RowWidths widths_;
  int64_t surveyed_ = 0;
  int64_t written_ = 0;
  // Of all integer features.
  double smallest_ = 0;
  double largest_ = 0;
  int64_t largest_label_ = 0;
  Dtype dtype_ = Dtype::kUint8;
  Dtype label_dtype_ = Dtype::kUint8;
  std::unique_ptr<WritableFile> features_;
  std::unique_ptr<WritableFile> labels_;
};

}  // namespace tfd::data

#endif  // TFD_DATA_IDX_TABLE_H_
