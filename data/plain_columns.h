// Columns whose numbers do not lie one after the other as records need them,
// as columns of such numbers: booleans, float16, and what is encoded with a
// dictionary.
#ifndef TFD_DATA_PLAIN_COLUMNS_H_
#define TFD_DATA_PLAIN_COLUMNS_H_

#include <memory>

#include "absl/status/statusor.h"

namespace arrow {
class Array;
class DataType;
}  // namespace arrow

namespace tfd::data {

// What a column of the type is turned into; the type itself where it is taken
// as it is. Booleans become float32, so that they are 0 and 1 and are not
// scaled as bytes of images are (of a label uint8), float16 becomes float32,
// a dictionary its values; also inside of lists.
std::shared_ptr<arrow::DataType> PlainType(
    const std::shared_ptr<arrow::DataType>& type, bool is_label);

// The column as that type. InvalidArgument where the array is damaged.
absl::StatusOr<std::shared_ptr<arrow::Array>> PlainArray(
    const std::shared_ptr<arrow::Array>& array,
    const std::shared_ptr<arrow::DataType>& plain);

}  // namespace tfd::data

#endif  // TFD_DATA_PLAIN_COLUMNS_H_
