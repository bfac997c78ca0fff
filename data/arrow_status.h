// Arrow's errors as ours, and our files as Arrow's.
#ifndef TFD_DATA_ARROW_STATUS_H_
#define TFD_DATA_ARROW_STATUS_H_

#include <arrow/result.h>
#include <arrow/status.h>

#include "absl/status/status.h"

namespace tfd::data {

// The code that fits; the message alone, without Arrow's name of the code.
absl::Status FromArrow(const arrow::Status& status);

template <typename T>
absl::Status FromArrow(const arrow::Result<T>& result) {
  return FromArrow(result.status());
}

}  // namespace tfd::data

#define TFD_RETURN_IF_ARROW_ERROR(expression)                              \
  do {                                                                     \
    const arrow::Status arrow_status_ = (expression);                      \
    if (!arrow_status_.ok()) return ::tfd::data::FromArrow(arrow_status_); \
  } while (false)

#endif  // TFD_DATA_ARROW_STATUS_H_
