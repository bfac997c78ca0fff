// Images of any size to one size.
#ifndef TFD_DATA_IMAGE_RESIZE_H_
#define TFD_DATA_IMAGE_RESIZE_H_

#include "absl/status/statusor.h"
#include "data/image/image.h"

namespace tfd::data {

enum class Fit {
  // Height and width are changed each by a factor of its own.
  kStretch,
  // The largest part in the middle that has the proportions is taken.
  kCrop,
};

// Smaller: the mean of the area of each new pixel; larger: linear between the
// pixels. Once `height` × `width` it comes back as it was. Thread-safe, on the
// calling thread alone.
absl::StatusOr<Image> ResizeImage(Image image, int height, int width, Fit fit);

}  // namespace tfd::data

#endif  // TFD_DATA_IMAGE_RESIZE_H_
