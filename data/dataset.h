// One interface for data whose records are countable and can be read in any
// order: files (IDX, CSV, Parquet, Arrow IPC, TFRecord), and pushed partitions
// once they are committed.
#ifndef TFD_DATA_DATASET_H_
#define TFD_DATA_DATASET_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/fs/file_system.h"
#include "data/dtype.h"
#include "data/preprocess.h"
#include "tfd/v1/job.pb.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::data {

// A record that could not be read, where the dataset may skip such.
struct RowError {
  // Its place in the batch.
  int64_t row = 0;
  std::string text;
};

// A batch: float32 features, one record after the other, and integer labels.
// Its memory is aligned to 64 bytes and reused. Thread-compatible.
class Batch {
 public:
  Batch() = default;
  Batch(Batch&&) = default;
  Batch& operator=(Batch&&) = default;

  // Becomes `records` records of `elements` numbers each. Allocates only where
  // the memory there is, is too small; what it held is lost.
  void Resize(int64_t records, int64_t elements);

  // The number of records; 0 for a step in which the slot has none.
  int64_t size() const { return size_; }
  // Numbers in one record.
  int64_t elements() const { return elements_; }

  // size() × elements() numbers, preprocessed.
  float* features() { return features_.get(); }
  const float* features() const { return features_.get(); }
  // size() labels; all 0 where the dataset has none.
  int64_t* labels() { return labels_.get(); }
  const int64_t* labels() const { return labels_.get(); }
  // The records that could not be read, in their order; their features are 0.
  std::vector<RowError>& errors() { return errors_; }
  const std::vector<RowError>& errors() const { return errors_; }

  // Which batch it is, set by who plans it: the step it is for, counted over
  // all epochs; its epoch; its number in the epoch.
  int64_t step = 0;
  int64_t epoch = 0;
  int64_t number = 0;
  // Of training data that grew: no step follows.
  bool last = false;

 private:
  struct Free {
    void operator()(void* memory) const;
  };

  int64_t size_ = 0;
  int64_t elements_ = 0;
  size_t feature_capacity_ = 0;
  size_t label_capacity_ = 0;
  std::unique_ptr<float[], Free> features_;
  std::unique_ptr<int64_t[], Free> labels_;
  std::vector<RowError> errors_;
};

struct DatasetInfo {
  // Where it comes from, for messages: a file, or "pushed dataset train".
  std::string source;
  uint64_t records = 0;
  // Rows that are no records, because of nulls in them (nulls: drop).
  uint64_t left_out = 0;
  // Of one record, e.g. {28, 28} or {784}; {} for a single number.
  std::vector<int64_t> shape;
  // The product of the shape.
  int64_t elements = 1;
  // Of the features before preprocessing.
  Dtype dtype = Dtype::kFloat32;
  bool has_labels = false;
  // What is done to the features, explicitly.
  PreprocessSteps preprocess;
};

struct LabelRange {
  int64_t smallest = 0;
  int64_t largest = 0;
};

// Thread-safe: any number of threads may read at a time, each with a batch of
// its own. Errors name the file, where in it, what is expected and what is
// there.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual const DatasetInfo& info() const = 0;

  // Reads the records with these numbers, in this order, preprocessed. Numbers
  // may repeat; one that is not below info().records is OutOfRange. A record
  // that cannot be read is an error, or, where the spec's bad_rows says so, one
  // of out->errors().
  virtual absl::Status ReadBatch(absl::Span<const uint64_t> records,
                                 Batch* out) const = 0;

  // Only their labels, as many as `records`, into `out`.
  virtual absl::Status ReadLabels(absl::Span<const uint64_t> records,
                                  int64_t* out) const = 0;
};

enum class Labels {
  // A dataset without them is refused.
  kRequired,
  // Read where there are some (inference).
  kIfAny,
};

struct OpenOptions {
  // "train" or "validation": what the spec calls it, for messages.
  std::string name = "train";
  Labels labels = Labels::kRequired;
  // A label that is negative or not below this is refused when it is read; 0:
  // not known.
  int64_t classes = 0;
  // pushed: the dataset's partitions, in the order that numbers the records
  // (DatasetReady).
  std::vector<v1::Partition> partitions;
  // pushed: opens a partition's file where it is. Empty: by its path.
  std::function<absl::StatusOr<std::unique_ptr<RandomAccessFile>>(
      const v1::Partition&)>
      open_partition;
  // pushed: partitions without a row are no error, but a dataset without
  // records, of which nothing else is known.
  bool may_be_empty = false;
  // pushed: whether to read every partition once to compare its checksum.
  bool verify_checksums = true;
  // csv, parquet, tfrecord and compressed arrow files are held in memory, at
  // most this much.
  uint64_t max_memory_bytes = uint64_t{8} << 30;
  // What a model takes, [channels, height, width], where it is known: what
  // images become whose spec does not say.
  std::vector<int64_t> record_shape;
};

// Opens what `spec` (with defaults filled in) describes. An empty dataset is
// refused. The spec must be valid (common/spec).
absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(
    const v1::DatasetSpec& spec, const Preprocess& preprocess,
    const OpenOptions& options);

// The labels of the first `count` records, or of all if there are fewer.
absl::StatusOr<LabelRange> HeadLabels(const Dataset& dataset, uint64_t count);

}  // namespace tfd::data

#endif  // TFD_DATA_DATASET_H_
