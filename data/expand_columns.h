// Lists and bytes as columns of single numbers, which is all that CSV has.
#ifndef TFD_DATA_EXPAND_COLUMNS_H_
#define TFD_DATA_EXPAND_COLUMNS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/dtype.h"
#include "data/record_schema.h"

namespace arrow {
class DataType;
}

namespace tfd::data {

// The type of one number.
std::shared_ptr<arrow::DataType> ArrowTypeOf(Dtype dtype);

// Makes "x" of three numbers a row into "x_0", "x_1" and "x_2"; other columns
// stay. Every row must have as many as the first. Thread-compatible.
class ColumnExpander {
 public:
  absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> Expand(
      const arrow::RecordBatch& batch);

 private:
  int64_t rows_ = 0;
  // Of each column; empty where it stays.
  std::vector<RowWidths> widths_;
};

}  // namespace tfd::data

#endif  // TFD_DATA_EXPAND_COLUMNS_H_
