// The safetensors file format (https://github.com/huggingface/safetensors):
// 8 bytes of header length (little-endian), a JSON header, the tensors' bytes
// without gaps.
#ifndef TFD_TENSOR_SAFETENSORS_H_
#define TFD_TENSOR_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/fs/file_system.h"

namespace tfd::tensor {

// The types of the format. tfd computes in F32; the others are carried.
enum class DType { kBool, kU8, kI8, kI16, kF16, kBF16, kI32, kF32, kI64, kF64 };

// "F32" and so on, as in the header.
const char* DTypeName(DType type);
size_t DTypeBytes(DType type);

// One tensor to write. `data` is one or more spans that together have the size
// of the tensor; they are not owned and live until the write returns.
struct TensorToWrite {
  std::string name;
  DType type = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<absl::Span<const std::byte>> data;
};

absl::Span<const std::byte> AsBytes(absl::Span<const float> values);

// Size and checksum of what was written.
struct WrittenFile {
  uint64_t size_bytes = 0;
  uint32_t crc32c = 0;
};

// Appends a whole safetensors file to `file` and does not commit it. Tensors
// are in the file in the given order. InvalidArgument where a name is repeated
// or a tensor's bytes do not fit its shape.
absl::StatusOr<WrittenFile> WriteSafetensors(
    absl::Span<const TensorToWrite> tensors,
    const std::map<std::string, std::string>& metadata, WritableFile& file);

// Where a tensor is in a file.
struct TensorEntry {
  std::string name;
  DType type = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t elements = 0;
  // In the file.
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
};

// A file to read from. Nothing in it is trusted: a header that is too long,
// not JSON, or describes bytes that overlap, leave gaps or are not there is
// DataLoss naming the file and the tensor. Thread-safe.
class SafetensorsReader {
 public:
  // `name` is for messages.
  static absl::StatusOr<SafetensorsReader> Open(
      std::unique_ptr<RandomAccessFile> file, std::string name);

  // In the order of the file.
  const std::vector<TensorEntry>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const {
    return metadata_;
  }
  // NotFound naming the file.
  absl::StatusOr<const TensorEntry*> Find(const std::string& tensor) const;

  // Elements [first, first + out.size()) of an F32 tensor. InvalidArgument
  // for another type or range.
  absl::Status ReadFloats(const TensorEntry& tensor, uint64_t first,
                          absl::Span<float> out) const;
  // All bytes of a tensor of any type; out.size() is its size_bytes.
  absl::Status ReadBytes(const TensorEntry& tensor,
                         absl::Span<std::byte> out) const;

  // Of the whole file, reading all of it.
  absl::StatusOr<uint32_t> Crc32c() const;
  uint64_t size_bytes() const { return file_->size_bytes(); }

 private:
  SafetensorsReader() = default;
  absl::Status ParseHeader(const std::string& text, uint64_t data_begin);

  std::unique_ptr<RandomAccessFile> file_;
  std::string name_;
  std::vector<TensorEntry> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace tfd::tensor

#endif  // TFD_TENSOR_SAFETENSORS_H_
