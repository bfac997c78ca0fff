// The types that numbers have in a source of data, before preprocessing turns
// them into float32.
#ifndef TFD_DATA_DTYPE_H_
#define TFD_DATA_DTYPE_H_

#include <cstddef>

namespace tfd::data {

enum class Dtype {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kUint64,
  kInt64,
  kFloat32,
  kFloat64,
};

// The size of one number.
size_t SizeBytes(Dtype dtype);
bool IsInteger(Dtype dtype);

// "uint8", "float32", as in model.json.
const char* DtypeName(Dtype dtype);

}  // namespace tfd::data

#endif  // TFD_DATA_DTYPE_H_
