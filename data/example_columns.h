// tf.Example records as columns, and back.
#ifndef TFD_DATA_EXAMPLE_COLUMNS_H_
#define TFD_DATA_EXAMPLE_COLUMNS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tfd/v1/example.pb.h"

namespace arrow {
class ArrayBuilder;
class RecordBatch;
class Schema;
}  // namespace arrow

namespace tfd::data {

// Learns from examples which columns they make: bytes are binary, numbers
// float32 or int64; where every example has n of them, a list of that size, and
// where they differ, a list. In the order of names. Thread-compatible.
class ExampleFacts {
 public:
  // InvalidArgument where a feature is of another kind than before.
  absl::Status Add(const v1::Example& example);
  // A feature without any value makes no column.
  std::shared_ptr<arrow::Schema> ToSchema() const;

 private:
  struct Facts {
    v1::Feature::KindCase kind = v1::Feature::KIND_NOT_SET;
    int64_t fewest = 0;
    int64_t most = 0;
  };
  std::map<std::string, Facts> features_;
};

// Gathers examples into batches. Thread-compatible.
class ExampleColumns {
 public:
  // Columns `selected` of a schema that ExampleFacts made.
  ExampleColumns(const std::shared_ptr<arrow::Schema>& schema,
                 const std::vector<int>& selected);
  ~ExampleColumns();

  // A feature that is missing is a null. InvalidArgument, naming it, where one
  // does not have what its column holds; then the batch is of no use.
  absl::Status Append(const v1::Example& example);
  int64_t rows() const { return rows_; }
  // What was appended since the last time.
  absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> Take();

 private:
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<std::unique_ptr<arrow::ArrayBuilder>> builders_;
  int64_t rows_ = 0;
};

// OK where examples can hold the columns: numbers, booleans, bytes, texts, and
// lists of them. InvalidArgument names the first that they cannot.
absl::Status CheckExampleColumns(const arrow::Schema& schema);

// Row `row` as an example; a null is left out.
absl::Status ToExample(const arrow::RecordBatch& batch, int64_t row,
                       v1::Example* example);

}  // namespace tfd::data

#endif  // TFD_DATA_EXAMPLE_COLUMNS_H_
