// Tables with a column of encoded images, their paths or their URLs.
#ifndef TFD_DATA_IMAGE_DATASET_H_
#define TFD_DATA_IMAGE_DATASET_H_

#include <memory>

#include "absl/status/statusor.h"
#include "data/dataset.h"

namespace tfd::data {

// spec.image says what the column holds. The tables are read here, as
// OpenTables does (and csv); images are opened and decoded in ReadBatch, by the
// thread that calls it, and URLs are fetched there, several at a time. Rows
// that cannot be read pass as spec.bad_rows says, counted over all reads.
absl::StatusOr<std::unique_ptr<Dataset>> OpenImages(
    const v1::DatasetSpec& spec, const Preprocess& preprocess,
    const OpenOptions& options);

}  // namespace tfd::data

#endif  // TFD_DATA_IMAGE_DATASET_H_
