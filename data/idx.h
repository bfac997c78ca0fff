// The IDX format, as MNIST comes in: two zero bytes, a code of the type, the
// number of dimensions, each dimension in 4 bytes, then the numbers; all big
// endian (Y. LeCun, C. Cortes, C. Burges, "The MNIST database").
#ifndef TFD_DATA_IDX_H_
#define TFD_DATA_IDX_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/fs/file_system.h"
#include "data/dataset.h"

namespace tfd::data {

// An open IDX file: rows of numbers. Thread-safe.
class IdxFile {
 public:
  // Reads the header and compares what it promises with the file's size.
  static absl::StatusOr<IdxFile> Open(const std::string& uri);

  const std::string& uri() const { return uri_; }
  Dtype dtype() const { return dtype_; }
  // The first dimension.
  uint64_t rows() const { return rows_; }
  // The others.
  const std::vector<int64_t>& row_shape() const { return row_shape_; }
  int64_t row_elements() const { return row_elements_; }

  // The numbers of one row < rows(), in this machine's order of bytes. Points
  // into the mapped file, or into `scratch`.
  absl::StatusOr<const void*> Row(uint64_t row,
                                  std::vector<std::byte>* scratch) const;

 private:
  IdxFile() = default;

  std::string uri_;
  std::unique_ptr<RandomAccessFile> file_;
  uint64_t data_offset_ = 0;
  Dtype dtype_ = Dtype::kUint8;
  uint64_t rows_ = 0;
  std::vector<int64_t> row_shape_;
  int64_t row_elements_ = 1;
};

// InvalidArgument where these are not the labels of those features.
absl::Status CheckLabelFile(const IdxFile& features, const IdxFile& labels);

// spec.features and spec.labels.
absl::StatusOr<std::unique_ptr<Dataset>> OpenIdx(const v1::DatasetSpec& spec,
                                                 const Preprocess& preprocess,
                                                 const OpenOptions& options);

}  // namespace tfd::data

#endif  // TFD_DATA_IDX_H_
