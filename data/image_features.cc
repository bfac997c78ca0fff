#include "data/image_features.h"

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/type.h>

#include <cstddef>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status.h"
#include "common/units.h"
#include "data/image/decode.h"

namespace tfd::data {
namespace {

constexpr int kColours = 3;
// What an absent max_bytes means, for specs without defaults.
constexpr uint64_t kMaxBytes = uint64_t{32} << 20;
constexpr char kFail[] = "fail";
constexpr absl::string_view kSkip = "skip:";

// Of an array with offsets.
template <typename ArrayType>
absl::StatusOr<absl::string_view> Slice(const ArrayType& array, int64_t row) {
  const int64_t begin = array.value_offset(row);
  const int64_t end = array.value_offset(row + 1);
  const auto& memory = array.value_data();
  const int64_t size = memory == nullptr ? 0 : memory->size();
  if (begin < 0 || end < begin || end > size) {
    return absl::InvalidArgumentError(
        "its place is outside of the column's bytes: the file is damaged");
  }
  if (begin == end) return absl::string_view();
  return absl::string_view(
      reinterpret_cast<const char*>(memory->data()) + begin, end - begin);
}

}  // namespace

absl::StatusOr<ImageForm> ImageFormOf(
    const v1::ImageSpec& spec, const std::vector<int64_t>& record_shape) {
  ImageForm form;
  if (record_shape.size() == 3) {
    form.channels = static_cast<int>(record_shape[0]);
  } else if (record_shape.size() == 2) {
    form.channels = 1;
  }
  if (form.channels != 0) {
    form.height = static_cast<int>(record_shape[record_shape.size() - 2]);
    form.width = static_cast<int>(record_shape.back());
  }
  if (spec.has_height()) form.height = spec.height();
  if (spec.has_width()) form.width = spec.width();
  if (spec.has_channels()) form.channels = spec.channels();
  if (form.channels == 0) form.channels = kColours;
  if (spec.fit() == v1::ImageSpec::CROP) form.fit = Fit::kCrop;
  form.max_bytes = spec.has_max_bytes() ? spec.max_bytes() : kMaxBytes;
  if (form.height < 1 || form.width < 1) {
    return absl::InvalidArgumentError(
        "image: to which size are images to be brought? Write image: {height: "
        "…, width: …}, as the model does not take [channels, height, width]");
  }
  if (form.channels != 1 && form.channels != kColours) {
    return absl::InvalidArgumentError(absl::StrCat(
        "image: channels is ", form.channels,
        ", and images are of 1 (grey) or 3 (red, green and blue)"));
  }
  return form;
}

absl::Status CheckImageBytes(uint64_t size_bytes, const ImageForm& form) {
  if (size_bytes <= form.max_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("it is of ", FormatBytes(size_bytes), ", and at most ",
                   FormatBytes(form.max_bytes),
                   " are read: raise image.max_bytes if that is right"));
}

absl::Status ReadImage(absl::string_view encoded, const ImageForm& form,
                       const AffineTransform& transform, float* out) {
  TFD_RETURN_IF_ERROR(CheckImageBytes(encoded.size(), form));
  TFD_ASSIGN_OR_RETURN(Image image, DecodeImage(encoded, form.channels));
  TFD_ASSIGN_OR_RETURN(
      image, ResizeImage(std::move(image), form.height, form.width, form.fit));
  const size_t plane = size_t{1} * form.height * form.width;
  if (form.channels == 1) {
    transform.Apply(Dtype::kUint8, image.pixels.data(), plane, out);
    return absl::OkStatus();
  }
  std::vector<uint8_t> channel(plane);
  for (int c = 0; c < form.channels; ++c) {
    const uint8_t* from = image.pixels.data() + c;
    for (size_t i = 0; i < plane; ++i) channel[i] = from[i * form.channels];
    transform.Apply(Dtype::kUint8, channel.data(), plane, out + c * plane);
  }
  return absl::OkStatus();
}

bool IsBytesOrText(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::BINARY:
    case arrow::Type::STRING:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::LARGE_STRING:
      return true;
    default:
      return false;
  }
}

absl::StatusOr<absl::string_view> BytesAt(const arrow::Array& column,
                                          int64_t row) {
  if (column.IsNull(row)) return absl::InvalidArgumentError("it is null");
  switch (column.type_id()) {
    case arrow::Type::BINARY:
    case arrow::Type::STRING:
      return Slice(static_cast<const arrow::BinaryArray&>(column), row);
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::LARGE_STRING:
      return Slice(static_cast<const arrow::LargeBinaryArray&>(column), row);
    default:
      return absl::InternalError("a column of images has an unexpected type");
  }
}

absl::StatusOr<int64_t> AllowedBadRows(const std::string& bad_rows) {
  if (!MaySkip(bad_rows)) return 0;
  absl::string_view number = bad_rows;
  int64_t rows = 0;
  if (!absl::ConsumePrefix(&number, kSkip) ||
      !absl::SimpleAtoi(number, &rows) || rows < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("bad_rows: \"", bad_rows,
                     "\" is neither fail nor skip:N, for example skip:100"));
  }
  return rows;
}

bool MaySkip(const std::string& bad_rows) {
  return !bad_rows.empty() && bad_rows != kFail;
}

}  // namespace tfd::data
