// One function for each format: see decode.h, which is what others call.
#ifndef TFD_DATA_IMAGE_FORMATS_H_
#define TFD_DATA_IMAGE_FORMATS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/image/image.h"

namespace tfd::data {

absl::StatusOr<Image> DecodeJpeg(absl::string_view encoded, int channels,
                                 int64_t max_pixels);
absl::StatusOr<Image> DecodePng(absl::string_view encoded, int channels,
                                int64_t max_pixels);

// InvalidArgument where there are no pixels or more than `max_pixels`.
absl::Status CheckSize(int64_t height, int64_t width, int64_t max_pixels);

}  // namespace tfd::data

#endif  // TFD_DATA_IMAGE_FORMATS_H_
