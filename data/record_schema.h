// Rows of Arrow record batches as records: which columns are features and which
// is the label, and where their numbers lie. Used where rows are taken in (the
// feed) and where they are read (the pushed dataset, and files of tables), so
// that all agree.
#ifndef TFD_DATA_RECORD_SCHEMA_H_
#define TFD_DATA_RECORD_SCHEMA_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/columns.h"
#include "data/dtype.h"

namespace arrow {
class Array;
class Buffer;
class DataType;
class RecordBatch;
class Schema;
namespace ipc {
class Message;
}
}  // namespace arrow

namespace tfd::data {

// The numbers of one column in one record batch: row r begins at
// base + r · width · SizeBytes(dtype).
struct ColumnView {
  const std::byte* base = nullptr;
  Dtype dtype = Dtype::kFloat32;
  // Numbers in a row.
  int64_t width = 1;
};

// The rows of one record batch.
struct RecordRows {
  int64_t rows = 0;
  // With those that were left out for their nulls.
  int64_t source_rows = 0;
  // Which rows of the source they are, for messages.
  RowNumbers numbers;
  std::vector<ColumnView> features;
  // base is null where there is no label.
  ColumnView label;
  // Keeps the memory that the views point into, as far as it is Arrow's own and
  // not the message's body.
  std::shared_ptr<arrow::RecordBatch> owner;
  // And what was made of a column.
  std::vector<std::shared_ptr<arrow::Array>> arrays;
  std::vector<std::shared_ptr<arrow::Buffer>> buffers;
  // The memory of these two.
  uint64_t made_bytes = 0;
};

// How many numbers each feature column has in a row; empty while no row was
// seen. All rows of a dataset must agree.
using RowWidths = std::vector<int64_t>;

// A schema that fits the spec's columns. Immutable, thread-safe.
class RecordSchema {
 public:
  // From the metadata of an IPC schema message. InvalidArgument, with both
  // sides, where a column is missing or of a type that cannot be taken, with
  // the cast that would help.
  static absl::StatusOr<RecordSchema> Make(
      std::shared_ptr<arrow::Buffer> schema_metadata, const ColumnNames& names);

  // From a table's schema. Here names.label may be empty: records have none.
  static absl::StatusOr<RecordSchema> OfTable(
      std::shared_ptr<arrow::Schema> schema, const ColumnNames& names);

  // The rows of an IPC record batch message, after checking that all of the
  // message is sound, that nothing is compressed, or null where the names say
  // that nulls are refused, and that each row is as wide as `widths` says
  // (which is set by the first row that is seen). Labels must not be negative
  // and, where `classes` is not 0, be below it. `first_row` numbers the rows in
  // errors. The views point into `body` where the columns can be taken as they
  // lie.
  absl::StatusOr<RecordRows> Decode(std::shared_ptr<arrow::Buffer> metadata,
                                    std::shared_ptr<arrow::Buffer> body,
                                    int64_t first_row, int64_t classes,
                                    RowWidths* widths) const;

  // The rows of a record batch that has the columns (in any order, beside
  // others), after the same checks. The views point into the batch, and the
  // rows own it.
  absl::StatusOr<RecordRows> ViewRows(std::shared_ptr<arrow::RecordBatch> batch,
                                      RowNumbers numbers, int64_t classes,
                                      RowWidths* widths) const;
  // InvalidArgument, naming column and row, where a feature is no finite
  // number.
  absl::Status CheckFinite(const RecordRows& rows) const;

  // Which columns of the schema are taken: the features, then the label.
  std::vector<int> Columns() const;
  bool has_label() const { return !label_.name.empty(); }
  // The shape of a record, given the widths of its columns.
  std::vector<int64_t> Shape(const RowWidths& widths) const;
  // The type of all features, or float64 where columns have several.
  Dtype dtype() const;
  // Names and types, "image: binary, label: uint8".
  std::string ToString() const;
  // Whether record batches of one fit the other.
  bool Equals(const RecordSchema& other) const;
  // InvalidArgument, naming the column, where features of the two are of
  // different types or shapes, so that they are not records of one dataset.
  absl::Status CheckSameRecords(const RecordSchema& other) const;

 private:
  struct Column {
    std::string name;
    int index = 0;
    Dtype dtype = Dtype::kFloat32;
    // Of a row; empty where only the rows say.
    std::vector<int64_t> shape;
    // What it is turned into first; null where it is taken as it is.
    std::shared_ptr<arrow::DataType> plain;
  };

  static absl::StatusOr<Column> Match(const arrow::Schema& schema,
                                      const std::string& name, bool is_label);
  // What is made of the array is kept by `rows`; `width` is that of the rows
  // before, or 0.
  absl::StatusOr<ColumnView> Take(const Column& column,
                                  const arrow::RecordBatch& batch,
                                  bool is_label, int64_t width,
                                  RecordRows* rows) const;
  absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> WithoutNulls(
      std::shared_ptr<arrow::RecordBatch> batch, RecordRows* rows) const;
  static absl::StatusOr<ColumnView> View(const Column& column,
                                         const arrow::Array& array,
                                         const RowNumbers& numbers);
  static absl::StatusOr<ColumnView> Filled(const Column& column,
                                           const arrow::Array& array,
                                           double fill, int64_t width,
                                           RecordRows* rows);
  absl::Status CheckRowLabels(const RecordRows& rows, int64_t classes) const;
  static absl::Status CheckWidth(const Column& column, int64_t width,
                                 int64_t first_row, int64_t* expected);

  std::shared_ptr<arrow::Schema> schema_;
  std::vector<Column> features_;
  Column label_;
  NullPolicy nulls_;
};

// The label in row `row`.
int64_t LabelAt(const ColumnView& label, int64_t row);

// The product of a shape; -1 where it overflows.
int64_t ElementsIn(const std::vector<int64_t>& shape);

// Reads the metadata of an IPC message, verified, whose body has `body_bytes`.
// InvalidArgument where the metadata is damaged, promises another body, or one
// whose size is not a multiple of 8.
absl::Status CheckMessage(const arrow::ipc::Message& message,
                          uint64_t body_bytes);

}  // namespace tfd::data

#endif  // TFD_DATA_RECORD_SCHEMA_H_
