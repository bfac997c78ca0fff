// Encoded images as features: what a spec's `image` asks for.
#ifndef TFD_DATA_IMAGE_FEATURES_H_
#define TFD_DATA_IMAGE_FEATURES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/image/resize.h"
#include "data/preprocess.h"
#include "tfd/v1/job_spec.pb.h"

namespace arrow {
class Array;
class DataType;
}  // namespace arrow

namespace tfd::data {

// What every image becomes.
struct ImageForm {
  int channels = 0;
  int height = 0;
  int width = 0;
  Fit fit = Fit::kStretch;
  // Encoded ones that are larger are refused.
  uint64_t max_bytes = 0;

  int64_t elements() const { return int64_t{1} * channels * height * width; }
  std::vector<int64_t> shape() const { return {channels, height, width}; }
};

// What the spec says, and where it does not, what a model takes: `record_shape`
// is [channels, height, width], or [height, width] of grey; it may be empty or
// of other records. InvalidArgument where the size stays unknown.
absl::StatusOr<ImageForm> ImageFormOf(const v1::ImageSpec& spec,
                                      const std::vector<int64_t>& record_shape);

// InvalidArgument where an encoded image is larger than the form allows.
absl::Status CheckImageBytes(uint64_t size_bytes, const ImageForm& form);

// Decodes an image and writes form.elements() numbers, channels first.
absl::Status ReadImage(absl::string_view encoded, const ImageForm& form,
                       const AffineTransform& transform, float* out);

// Whether a column of the type can hold images, paths or URLs.
bool IsBytesOrText(const arrow::DataType& type);

// The bytes in row `row` of such a column. InvalidArgument where they are null
// or not inside of the column's memory, whose offsets may be any numbers.
absl::StatusOr<absl::string_view> BytesAt(const arrow::Array& column,
                                          int64_t row);

// How many rows that cannot be read pass, by spec.bad_rows: 0 for "fail" and
// for "". InvalidArgument for what is neither that nor skip:N.
absl::StatusOr<int64_t> AllowedBadRows(const std::string& bad_rows);
// Whether it is not 0.
bool MaySkip(const std::string& bad_rows);

}  // namespace tfd::data

#endif  // TFD_DATA_IMAGE_FEATURES_H_
