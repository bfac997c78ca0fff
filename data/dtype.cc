#include "data/dtype.h"

namespace tfd::data {

size_t SizeBytes(Dtype dtype) {
  switch (dtype) {
    case Dtype::kUint8:
    case Dtype::kInt8:
      return 1;
    case Dtype::kUint16:
    case Dtype::kInt16:
      return 2;
    case Dtype::kUint32:
    case Dtype::kInt32:
    case Dtype::kFloat32:
      return 4;
    case Dtype::kUint64:
    case Dtype::kInt64:
    case Dtype::kFloat64:
      return 8;
  }
  return 0;
}

bool IsInteger(Dtype dtype) {
  return dtype != Dtype::kFloat32 && dtype != Dtype::kFloat64;
}

const char* DtypeName(Dtype dtype) {
  switch (dtype) {
    case Dtype::kUint8:
      return "uint8";
    case Dtype::kInt8:
      return "int8";
    case Dtype::kUint16:
      return "uint16";
    case Dtype::kInt16:
      return "int16";
    case Dtype::kUint32:
      return "uint32";
    case Dtype::kInt32:
      return "int32";
    case Dtype::kUint64:
      return "uint64";
    case Dtype::kInt64:
      return "int64";
    case Dtype::kFloat32:
      return "float32";
    case Dtype::kFloat64:
      return "float64";
  }
  return "";
}

}  // namespace tfd::data
