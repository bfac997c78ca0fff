// What becomes of rows with nulls: spec.nulls, for all that is read as rows of
// columns.
#ifndef TFD_DATA_NULLS_H_
#define TFD_DATA_NULLS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/dtype.h"

namespace arrow {
class Array;
class Buffer;
class RecordBatch;
}  // namespace arrow

namespace tfd::data {

struct NullPolicy {
  enum class Kind {
    // A null is an error that names its row.
    kRefuse,
    // Rows with a null in a column that is read are left out.
    kDrop,
    // A feature that is null becomes `fill`; a label is never filled.
    kFill,
  };
  Kind kind = Kind::kRefuse;
  double fill = 0;
};

// "" and "refuse", "drop", "fill:NUMBER".
absl::StatusOr<NullPolicy> NullPolicyOf(const std::string& nulls);

// Which rows of their source the rows of a batch are.
struct RowNumbers {
  int64_t first = 0;
  // Counted from `first`; empty: they are all there.
  std::vector<int64_t> kept;

  int64_t At(int64_t row) const {
    return first + (kept.empty() ? row : kept[static_cast<size_t>(row)]);
  }
};

// "has no rows", or what has become of them.
std::string NoRowsText(int64_t left_out);

// Whether elements [begin, end) of an array have a null in them, at any depth.
// The array must be valid in full.
bool HasNull(const arrow::Array& array, int64_t begin, int64_t end);

// The batch without the rows that have a null in one of `columns`, and the
// numbers of those that stay; the same batch where there is no such row.
// InvalidArgument where the batch is damaged.
absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> DropNulls(
    std::shared_ptr<arrow::RecordBatch> batch, const std::vector<int>& columns,
    RowNumbers* numbers);

// The numbers of all rows of a column, `width` each, one after the other, with
// `fill` for each that is null. `width` 0: as many as the first row that is not
// null has, which it is set to. The column is a number, a list or bytes, valid
// in full. InvalidArgument where `fill` is no number of the type, or a row is
// of another width (then *bad_row is that row).
absl::StatusOr<std::shared_ptr<arrow::Buffer>> FillNulls(
    const arrow::Array& column, Dtype dtype, double fill, int64_t* width,
    int64_t* bad_row);

}  // namespace tfd::data

#endif  // TFD_DATA_NULLS_H_
