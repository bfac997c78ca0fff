// CSV: text with a header line and one record a line, read by Arrow's CSV
// reader into memory as float32, which every record is then copied from.
#ifndef TFD_DATA_CSV_H_
#define TFD_DATA_CSV_H_

#include <memory>

#include "absl/status/statusor.h"
#include "data/dataset.h"

namespace tfd::data {

// spec.path (with * in its last part: several files, in the order of names) and
// spec.columns. Every feature must be a finite number and every label an
// integer: what is not is refused with file, line and column.
absl::StatusOr<std::unique_ptr<Dataset>> OpenCsv(const v1::DatasetSpec& spec,
                                                 const Preprocess& preprocess,
                                                 const OpenOptions& options);

}  // namespace tfd::data

#endif  // TFD_DATA_CSV_H_
