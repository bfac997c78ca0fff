#include "data/idx.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/units.h"
#include "data/record_checks.h"

namespace tfd::data {
namespace {

constexpr uint64_t kMagicBytes = 4;
constexpr uint64_t kDimensionBytes = 4;
// More than any data of use has; a larger one means that it is no IDX file.
constexpr int kMaxDimensions = 8;

std::optional<Dtype> DtypeOfCode(uint8_t code) {
  switch (code) {
    case 0x08:
      return Dtype::kUint8;
    case 0x09:
      return Dtype::kInt8;
    case 0x0b:
      return Dtype::kInt16;
    case 0x0c:
      return Dtype::kInt32;
    case 0x0d:
      return Dtype::kFloat32;
    case 0x0e:
      return Dtype::kFloat64;
    default:
      return std::nullopt;
  }
}

uint32_t BigEndian32(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 |
         uint32_t{bytes[2]} << 8 | bytes[3];
}

// Turns big endian numbers of `size` bytes into this machine's.
void SwapBytes(const std::byte* in, size_t count, size_t size, std::byte* out) {
  for (size_t i = 0; i < count; ++i) {
    std::reverse_copy(in + i * size, in + (i + 1) * size, out + i * size);
  }
}

absl::Status NotIdx(const std::string& uri, const uint8_t* magic) {
  if (magic[0] == 0x1f && magic[1] == 0x8b) {
    return absl::InvalidArgumentError(absl::StrCat(
        uri,
        ": is compressed with gzip, and IDX files are read as they are: "
        "gunzip it"));
  }
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s: is no IDX file: it begins with %02x %02x %02x %02x, expected 00 00, "
      "a type (08, 09, 0b to 0e) and a number of dimensions (1 to %d)",
      uri, magic[0], magic[1], magic[2], magic[3], kMaxDimensions));
}

// The file's size that a header promises, or nothing where it overflows.
std::optional<uint64_t> PromisedBytes(uint64_t header_bytes, uint64_t rows,
                                      const std::vector<int64_t>& row_shape,
                                      Dtype dtype) {
  uint64_t bytes = SizeBytes(dtype);
  for (const int64_t dimension : row_shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(dimension),
                               &bytes)) {
      return std::nullopt;
    }
  }
  if (__builtin_mul_overflow(bytes, rows, &bytes) ||
      __builtin_add_overflow(bytes, header_bytes, &bytes)) {
    return std::nullopt;
  }
  return bytes;
}

absl::Status CheckSize(const std::string& uri, uint64_t header_bytes,
                       uint64_t rows, const std::vector<int64_t>& row_shape,
                       Dtype dtype, uint64_t file_bytes) {
  const auto promised = PromisedBytes(header_bytes, rows, row_shape, dtype);
  if (promised == file_bytes) return absl::OkStatus();
  const std::string shape =
      row_shape.empty() ? "" : absl::StrCat(" × ", ShapeText(row_shape));
  const std::string size =
      promised
          ? absl::StrCat(FormatCount(static_cast<int64_t>(*promised)), " bytes")
          : "more bytes than any file can have";
  const bool truncated = !promised || file_bytes < *promised;
  return absl::InvalidArgumentError(absl::StrCat(
      uri, ": header promises ", FormatCount(static_cast<int64_t>(rows)), shape,
      " of ", DtypeName(dtype), " = ", size, ", the file has ",
      FormatCount(static_cast<int64_t>(file_bytes)),
      truncated ? ": truncated? Fetch it again"
                : ": is something appended to it, or its header damaged? Fetch "
                  "it again"));
}

int64_t IntegerAt(Dtype dtype, const void* in) {
  switch (dtype) {
    case Dtype::kUint8:
      return *static_cast<const uint8_t*>(in);
    case Dtype::kInt8:
      return *static_cast<const int8_t*>(in);
    case Dtype::kInt16: {
      int16_t value;
      std::memcpy(&value, in, sizeof(value));
      return value;
    }
    default: {
      int32_t value;
      std::memcpy(&value, in, sizeof(value));
      return value;
    }
  }
}

class IdxDataset : public Dataset {
 public:
  IdxDataset(IdxFile features, std::optional<IdxFile> labels,
             const Preprocess& preprocess, const OpenOptions& options)
      : features_(std::move(features)),
        labels_(std::move(labels)),
        classes_(options.classes) {
    info_.source = features_.uri();
    info_.records = features_.rows();
    info_.shape = features_.row_shape();
    info_.elements = features_.row_elements();
    info_.dtype = features_.dtype();
    info_.has_labels = labels_.has_value();
    info_.preprocess = preprocess.Resolve(info_.dtype);
    transform_ = AffineTransform(info_.preprocess);
  }

  const DatasetInfo& info() const override { return info_; }

  absl::Status ReadBatch(absl::Span<const uint64_t> records,
                         Batch* out) const override {
    TFD_RETURN_IF_ERROR(CheckRecords(info_, records));
    out->Resize(static_cast<int64_t>(records.size()), info_.elements);
    std::vector<std::byte> scratch;
    for (size_t i = 0; i < records.size(); ++i) {
      TFD_ASSIGN_OR_RETURN(const void* row,
                           features_.Row(records[i], &scratch));
      transform_.Apply(info_.dtype, row, info_.elements,
                       out->features() + i * info_.elements);
    }
    return ReadLabels(records, out->labels());
  }

  absl::Status ReadLabels(absl::Span<const uint64_t> records,
                          int64_t* out) const override {
    TFD_RETURN_IF_ERROR(CheckRecords(info_, records));
    if (!labels_) {
      std::fill_n(out, records.size(), 0);
      return absl::OkStatus();
    }
    std::vector<std::byte> scratch;
    for (size_t i = 0; i < records.size(); ++i) {
      TFD_ASSIGN_OR_RETURN(const void* row, labels_->Row(records[i], &scratch));
      out[i] = IntegerAt(labels_->dtype(), row);
    }
    return Annotate(CheckLabels(info_, classes_, records, out),
                    absl::StrCat("labels in ", labels_->uri()));
  }

 private:
  const IdxFile features_;
  const std::optional<IdxFile> labels_;
  const int64_t classes_;
  DatasetInfo info_;
  AffineTransform transform_;
};

}  // namespace

absl::StatusOr<IdxFile> IdxFile::Open(const std::string& uri) {
  TFD_ASSIGN_OR_RETURN(Location location, ResolveUri(uri));
  IdxFile idx;
  idx.uri_ = uri;
  TFD_ASSIGN_OR_RETURN(idx.file_,
                       location.file_system->OpenForReading(location.path));
  const uint64_t file_bytes = idx.file_->size_bytes();
  uint8_t header[kMagicBytes + kMaxDimensions * kDimensionBytes];
  if (file_bytes < kMagicBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        uri,
        ": an IDX file begins with a header of 8 bytes or more, this file "
        "has ",
        file_bytes, ": truncated? Fetch it again"));
  }
  TFD_RETURN_IF_ERROR(idx.file_->Read(0, kMagicBytes, header));
  const auto dtype = DtypeOfCode(header[2]);
  const int dimensions = header[3];
  if (header[0] != 0 || header[1] != 0 || !dtype || dimensions < 1 ||
      dimensions > kMaxDimensions) {
    return NotIdx(uri, header);
  }
  idx.dtype_ = *dtype;
  idx.data_offset_ = kMagicBytes + dimensions * kDimensionBytes;
  if (file_bytes < idx.data_offset_) {
    return absl::InvalidArgumentError(
        absl::StrCat(uri, ": the header of ", dimensions, " dimensions has ",
                     idx.data_offset_, " bytes, the file has ", file_bytes,
                     ": truncated? Fetch it again"));
  }
  TFD_RETURN_IF_ERROR(idx.file_->Read(kMagicBytes, dimensions * kDimensionBytes,
                                      header + kMagicBytes));
  idx.rows_ = BigEndian32(header + kMagicBytes);
  for (int i = 1; i < dimensions; ++i) {
    idx.row_shape_.push_back(
        BigEndian32(header + kMagicBytes + i * kDimensionBytes));
  }
  TFD_RETURN_IF_ERROR(CheckSize(uri, idx.data_offset_, idx.rows_,
                                idx.row_shape_, idx.dtype_, file_bytes));
  for (const int64_t dimension : idx.row_shape_) {
    idx.row_elements_ *= dimension;
  }
  if (idx.rows_ == 0 || idx.row_elements_ == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(uri, ": has no data: ", idx.rows_, " records of ",
                     ShapeText(idx.row_shape_)));
  }
  return idx;
}

absl::StatusOr<const void*> IdxFile::Row(
    uint64_t row, std::vector<std::byte>* scratch) const {
  const size_t element_bytes = SizeBytes(dtype_);
  const size_t row_bytes = row_elements_ * element_bytes;
  // Read and not mapped: a file that is cut short meanwhile is an error, where
  // a mapping would end the process by SIGBUS.
  scratch->resize(element_bytes == 1 ? row_bytes : 2 * row_bytes);
  std::byte* in = scratch->data() + scratch->size() - row_bytes;
  TFD_RETURN_IF_ERROR(
      file_->Read(data_offset_ + row * row_bytes, row_bytes, in));
  if (element_bytes == 1) return in;
  SwapBytes(in, row_elements_, element_bytes, scratch->data());
  return scratch->data();
}

absl::Status CheckLabelFile(const IdxFile& features, const IdxFile& labels) {
  if (!labels.row_shape().empty() || !IsInteger(labels.dtype())) {
    return absl::InvalidArgumentError(absl::StrCat(
        labels.uri(), ": labels are one integer each, and this file has ",
        ShapeText(labels.row_shape()), " ", DtypeName(labels.dtype()),
        " per record: are features and labels the wrong way round?"));
  }
  if (labels.rows() != features.rows()) {
    return absl::InvalidArgumentError(
        absl::StrCat(features.uri(), " has ",
                     FormatCount(static_cast<int64_t>(features.rows())),
                     " records, and its labels in ", labels.uri(), " are ",
                     FormatCount(static_cast<int64_t>(labels.rows())),
                     ": are they of the same data set?"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Dataset>> OpenIdx(const v1::DatasetSpec& spec,
                                                 const Preprocess& preprocess,
                                                 const OpenOptions& options) {
  if (spec.features().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.name,
                     ": an idx dataset needs `features`, the file of records"));
  }
  if (spec.labels().empty() && options.labels == Labels::kRequired) {
    return absl::InvalidArgumentError(absl::StrCat(
        options.name, ": an idx dataset needs `labels`, the file of labels"));
  }
  TFD_ASSIGN_OR_RETURN(IdxFile features, IdxFile::Open(spec.features()));
  std::optional<IdxFile> labels;
  if (!spec.labels().empty()) {
    TFD_ASSIGN_OR_RETURN(labels, IdxFile::Open(spec.labels()));
    TFD_RETURN_IF_ERROR(CheckLabelFile(features, *labels));
  }
  return std::make_unique<IdxDataset>(std::move(features), std::move(labels),
                                      preprocess, options);
}

}  // namespace tfd::data
