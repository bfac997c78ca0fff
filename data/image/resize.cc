// The one place that knows OpenCV, and where its exceptions end.
#include "data/image/resize.h"

#include <algorithm>
#include <exception>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "absl/strings/str_cat.h"

namespace tfd::data {
namespace {

// The part of an image of `size` that becomes `height` × `width`.
cv::Rect PartOf(const cv::Size& size, int height, int width, Fit fit) {
  cv::Rect part(0, 0, size.width, size.height);
  if (fit == Fit::kStretch) return part;
  const int64_t wide = int64_t{size.height} * width / height;
  const int64_t high = int64_t{size.width} * height / width;
  if (wide < size.width) {
    part.width = static_cast<int>(std::max<int64_t>(1, wide));
    part.x = (size.width - part.width) / 2;
  } else if (high < size.height) {
    part.height = static_cast<int>(std::max<int64_t>(1, high));
    part.y = (size.height - part.height) / 2;
  }
  return part;
}

// A job's tasks have their processors from its spec, and OpenCV would take all.
void UseCallingThreadAlone() {
  static const bool once = [] {
    cv::setNumThreads(0);
    return true;
  }();
  (void)once;
}

}  // namespace

absl::StatusOr<Image> ResizeImage(Image image, int height, int width, Fit fit) {
  if (image.height == height && image.width == width) return image;
  try {
    UseCallingThreadAlone();
    const cv::Mat all(image.height, image.width, CV_8UC(image.channels),
                      image.pixels.data());
    const cv::Mat part = all(PartOf(all.size(), height, width, fit));
    Image resized;
    resized.height = height;
    resized.width = width;
    resized.channels = image.channels;
    resized.pixels.resize(size_t{1} * height * width * image.channels);
    cv::Mat to(height, width, CV_8UC(image.channels), resized.pixels.data());
    const bool smaller = height < part.rows || width < part.cols;
    cv::resize(part, to, to.size(), 0, 0,
               smaller ? cv::INTER_AREA : cv::INTER_LINEAR);
    return resized;
  } catch (const std::exception& error) {
    return absl::InternalError(
        absl::StrCat("bringing an image of ", image.width, " × ", image.height,
                     " pixels to ", width, " × ", height, ": ", error.what()));
  }
}

}  // namespace tfd::data
