// A pushed dataset once all its producers have committed: the spool files of
// its partitions, mapped.
#ifndef TFD_DATA_PUSHED_H_
#define TFD_DATA_PUSHED_H_

#include <memory>

#include "absl/status/statusor.h"
#include "data/dataset.h"

namespace tfd::data {

// options.partitions, whose order numbers the records. Each file must have
// exactly the rows (and, where asked for, the checksum) that were sealed.
absl::StatusOr<std::unique_ptr<Dataset>> OpenPushed(
    const v1::DatasetSpec& spec, const Preprocess& preprocess,
    const OpenOptions& options);

}  // namespace tfd::data

#endif  // TFD_DATA_PUSHED_H_
