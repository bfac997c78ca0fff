#include "tensor/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/crc32c.h"
#include "common/status.h"

namespace tfd::tensor {
namespace {

// As the reference implementation: a longer header is refused.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kLengthBytes = 8;
constexpr size_t kAlignment = 8;
constexpr size_t kReadBlockBytes = 1 << 20;
constexpr char kMetadataKey[] = "__metadata__";

struct DTypeInfo {
  DType type;
  const char* name;
  size_t bytes;
};
constexpr DTypeInfo kDTypes[] = {
    {DType::kBool, "BOOL", 1}, {DType::kU8, "U8", 1},
    {DType::kI8, "I8", 1},     {DType::kI16, "I16", 2},
    {DType::kF16, "F16", 2},   {DType::kBF16, "BF16", 2},
    {DType::kI32, "I32", 4},   {DType::kF32, "F32", 4},
    {DType::kI64, "I64", 8},   {DType::kF64, "F64", 8}};

const DTypeInfo& InfoOf(DType type) {
  return *std::find_if(
      std::begin(kDTypes), std::end(kDTypes),
      [&](const DTypeInfo& info) { return info.type == type; });
}

// Elements of a shape, or nothing where they cannot be counted.
bool CountElements(const std::vector<int64_t>& shape, uint64_t* elements) {
  uint64_t product = 1;
  for (const int64_t dimension : shape) {
    if (dimension < 0 ||
        __builtin_mul_overflow(product, static_cast<uint64_t>(dimension),
                               &product)) {
      return false;
    }
  }
  *elements = product;
  return true;
}

// Appends to a file and keeps size and checksum of what it has appended.
class ChecksummedFile {
 public:
  explicit ChecksummedFile(WritableFile& file) : file_(file) {}
  absl::Status Append(const void* data, size_t size) {
    written_.crc32c = ExtendCrc32c(written_.crc32c, data, size);
    written_.size_bytes += size;
    return file_.Append(data, size);
  }
  const WrittenFile& written() const { return written_; }

 private:
  WritableFile& file_;
  WrittenFile written_;
};

absl::StatusOr<std::string> HeaderOf(
    absl::Span<const TensorToWrite> tensors,
    const std::map<std::string, std::string>& metadata) {
  // Ordered, so that the header lists tensors as the file has them.
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[kMetadataKey] = metadata;
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    if (tensor.name == kMetadataKey || header.contains(tensor.name)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor ", tensor.name, " is there twice, or has a reserved name"));
    }
    uint64_t elements = 0;
    uint64_t size = 0;
    for (const auto& part : tensor.data) size += part.size();
    if (!CountElements(tensor.shape, &elements) ||
        size != elements * DTypeBytes(tensor.type)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor ", tensor.name, ": ", size, " bytes do not fit its shape [",
          absl::StrJoin(tensor.shape, ", "), "] of ", DTypeName(tensor.type)));
    }
    header[tensor.name] = {{"dtype", DTypeName(tensor.type)},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + size}}};
    offset += size;
  }
  // Names that are not UTF-8 must not make dump() throw.
  std::string text =
      header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  return text;
}

// A whole number of a JSON value, or nothing.
bool GetUnsigned(const nlohmann::json& json, uint64_t* out) {
  if (!json.is_number_unsigned()) return false;
  *out = json.get<uint64_t>();
  return true;
}

// One entry of the header, offsets counted from the end of the header; the
// message is empty where all is well.
std::string ParseEntry(const nlohmann::json& json, TensorEntry* entry) {
  if (!json.is_object()) return "is no object";
  const auto dtype = json.find("dtype");
  const auto shape = json.find("shape");
  const auto offsets = json.find("data_offsets");
  if (dtype == json.end() || !dtype->is_string()) return "has no dtype";
  const auto& name = dtype->get_ref<const std::string&>();
  const auto* info =
      std::find_if(std::begin(kDTypes), std::end(kDTypes),
                   [&](const DTypeInfo& i) { return i.name == name; });
  if (info == std::end(kDTypes)) {
    return absl::StrCat("has the unknown dtype ", name.substr(0, 32));
  }
  entry->type = info->type;
  if (shape == json.end() || !shape->is_array()) return "has no shape";
  for (const nlohmann::json& dimension : *shape) {
    uint64_t value = 0;
    if (!GetUnsigned(dimension, &value) ||
        value > std::numeric_limits<int64_t>::max()) {
      return "has a shape that is no list of sizes";
    }
    entry->shape.push_back(static_cast<int64_t>(value));
  }
  uint64_t begin = 0;
  uint64_t end = 0;
  if (offsets == json.end() || !offsets->is_array() || offsets->size() != 2 ||
      !GetUnsigned((*offsets)[0], &begin) ||
      !GetUnsigned((*offsets)[1], &end) || begin > end) {
    return "has no valid data_offsets";
  }
  entry->offset_bytes = begin;
  entry->size_bytes = end - begin;
  uint64_t size = 0;
  if (!CountElements(entry->shape, &entry->elements) ||
      __builtin_mul_overflow(entry->elements, info->bytes, &size) ||
      size != entry->size_bytes) {
    return absl::StrCat("has ", entry->size_bytes,
                        " bytes, which do not fit its shape [",
                        absl::StrJoin(entry->shape, ", "), "]");
  }
  return "";
}

// Repeats a key's value in a std::map silently; so repeated keys are found
// while parsing.
bool HasRepeatedKey(const std::string& text) {
  std::vector<std::set<std::string>> open;
  bool repeated = false;
  const auto callback = [&](int, nlohmann::json::parse_event_t event,
                            nlohmann::json& parsed) {
    switch (event) {
      case nlohmann::json::parse_event_t::object_start:
        open.emplace_back();
        break;
      case nlohmann::json::parse_event_t::object_end:
        open.pop_back();
        break;
      case nlohmann::json::parse_event_t::key:
        repeated |= !open.back().insert(parsed.get<std::string>()).second;
        break;
      default:
        break;
    }
    return true;
  };
  const bool valid =
      !nlohmann::json::parse(text, callback, /*allow_exceptions=*/false)
           .is_discarded();
  return valid && repeated;
}

}  // namespace

const char* DTypeName(DType type) { return InfoOf(type).name; }
size_t DTypeBytes(DType type) { return InfoOf(type).bytes; }

absl::Span<const std::byte> AsBytes(absl::Span<const float> values) {
  return {reinterpret_cast<const std::byte*>(values.data()),
          values.size() * sizeof(float)};
}

absl::StatusOr<WrittenFile> WriteSafetensors(
    absl::Span<const TensorToWrite> tensors,
    const std::map<std::string, std::string>& metadata, WritableFile& file) {
  TFD_ASSIGN_OR_RETURN(const std::string header, HeaderOf(tensors, metadata));
  ChecksummedFile out(file);
  const uint64_t length = header.size();
  static_assert(sizeof(length) == kLengthBytes);
  TFD_RETURN_IF_ERROR(out.Append(&length, sizeof(length)));
  TFD_RETURN_IF_ERROR(out.Append(header.data(), header.size()));
  for (const TensorToWrite& tensor : tensors) {
    for (const auto& part : tensor.data) {
      TFD_RETURN_IF_ERROR(out.Append(part.data(), part.size()));
    }
  }
  return out.written();
}

absl::StatusOr<SafetensorsReader> SafetensorsReader::Open(
    std::unique_ptr<RandomAccessFile> file, std::string name) {
  SafetensorsReader reader;
  reader.file_ = std::move(file);
  reader.name_ = std::move(name);
  const uint64_t size = reader.file_->size_bytes();
  uint64_t length = 0;
  if (size < kLengthBytes) {
    return absl::DataLossError(absl::StrCat(reader.name_, ": ", size,
                                            " bytes are no safetensors file"));
  }
  TFD_RETURN_IF_ERROR(reader.file_->Read(0, kLengthBytes, &length));
  if (length > kMaxHeaderBytes || length > size - kLengthBytes) {
    return absl::DataLossError(
        absl::StrCat(reader.name_, ": a header of ", length,
                     " bytes does not fit the file's ", size,
                     "; it is cut off, or no safetensors file"));
  }
  std::string text(length, '\0');
  TFD_RETURN_IF_ERROR(reader.file_->Read(kLengthBytes, length, text.data()));
  TFD_RETURN_IF_ERROR(reader.ParseHeader(text, kLengthBytes + length));
  return reader;
}

absl::Status SafetensorsReader::ParseHeader(const std::string& text,
                                            uint64_t data_begin) {
  const auto wrong = [&](absl::string_view tensor, absl::string_view what) {
    return absl::DataLossError(
        absl::StrCat(name_, ": tensor ", tensor, " ", what));
  };
  const nlohmann::json header =
      nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) {
    return absl::DataLossError(
        absl::StrCat(name_, ": the header is no JSON object"));
  }
  if (HasRepeatedKey(text)) {
    return absl::DataLossError(
        absl::StrCat(name_, ": the header names a tensor twice"));
  }
  for (const auto& [key, value] : header.items()) {
    if (key == kMetadataKey) {
      if (!value.is_object()) return wrong(key, "is no object");
      for (const auto& [name, entry] : value.items()) {
        if (!entry.is_string())
          return wrong(key, "has a value that is no text");
        metadata_[name] = entry.get<std::string>();
      }
      continue;
    }
    TensorEntry entry;
    entry.name = key;
    const std::string problem = ParseEntry(value, &entry);
    if (!problem.empty()) return wrong(key, problem);
    tensors_.push_back(std::move(entry));
  }
  // Empty tensors share their offset with the next one: name them first.
  std::sort(tensors_.begin(), tensors_.end(),
            [](const TensorEntry& a, const TensorEntry& b) {
              return std::tie(a.offset_bytes, a.size_bytes, a.name) <
                     std::tie(b.offset_bytes, b.size_bytes, b.name);
            });
  const uint64_t data_bytes = file_->size_bytes() - data_begin;
  uint64_t next = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    TensorEntry& entry = tensors_[i];
    if (entry.offset_bytes != next) {
      return wrong(entry.name,
                   absl::StrCat("begins at ", entry.offset_bytes,
                                " where the one before it ends at ", next));
    }
    if (entry.size_bytes > data_bytes - next) {
      return wrong(entry.name, absl::StrCat("ends beyond the file's ",
                                            data_bytes, " bytes of data"));
    }
    next += entry.size_bytes;
    entry.offset_bytes += data_begin;
    index_[entry.name] = i;
  }
  if (next != data_bytes) {
    return absl::DataLossError(
        absl::StrCat(name_, ": ", data_bytes,
                     " bytes of data, but its tensors have ", next));
  }
  return absl::OkStatus();
}

absl::StatusOr<const TensorEntry*> SafetensorsReader::Find(
    const std::string& tensor) const {
  const auto it = index_.find(tensor);
  if (it == index_.end()) {
    return absl::NotFoundError(absl::StrCat(name_, " has no tensor ", tensor));
  }
  return &tensors_[it->second];
}

absl::Status SafetensorsReader::ReadFloats(const TensorEntry& tensor,
                                           uint64_t first,
                                           absl::Span<float> out) const {
  if (tensor.type != DType::kF32) {
    return absl::InvalidArgumentError(
        absl::StrCat(name_, ": tensor ", tensor.name, " is ",
                     DTypeName(tensor.type), ", not F32"));
  }
  if (first > tensor.elements || out.size() > tensor.elements - first) {
    return absl::InvalidArgumentError(
        absl::StrCat(name_, ": tensor ", tensor.name, " has ", tensor.elements,
                     " elements, not ", first, " + ", out.size()));
  }
  return file_->Read(tensor.offset_bytes + first * sizeof(float),
                     out.size() * sizeof(float), out.data());
}

absl::Status SafetensorsReader::ReadBytes(const TensorEntry& tensor,
                                          absl::Span<std::byte> out) const {
  if (out.size() != tensor.size_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name_, ": tensor ", tensor.name, " has ",
                     tensor.size_bytes, " bytes, not ", out.size()));
  }
  return file_->Read(tensor.offset_bytes, out.size(), out.data());
}

absl::StatusOr<uint32_t> SafetensorsReader::Crc32c() const {
  const uint64_t size = file_->size_bytes();
  if (file_->mapping() != nullptr) {
    return ExtendCrc32c(0, file_->mapping(), size);
  }
  std::vector<std::byte> block(std::min<uint64_t>(size, kReadBlockBytes));
  uint32_t crc = 0;
  for (uint64_t at = 0; at < size; at += block.size()) {
    const size_t n = std::min<uint64_t>(block.size(), size - at);
    TFD_RETURN_IF_ERROR(file_->Read(at, n, block.data()));
    crc = ExtendCrc32c(crc, block.data(), n);
  }
  return crc;
}

}  // namespace tfd::tensor
