// Images of any bytes: nothing crashes, waits or takes more memory than its
// bounds say, and what is accepted has the pixels that it promises.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "data/image/decode.h"
#include "data/image/resize.h"

namespace tfd::data {
namespace {

// Small, so that an input is quick.
constexpr int64_t kMaxFuzzPixels = 1 << 16;
constexpr int kSide = 8;

void RequireWhole(const Image& image) {
  if (image.pixels.size() ==
      size_t{1} * image.height * image.width * image.channels) {
    return;
  }
  std::fprintf(stderr, "image_fuzz: an image has not all of its pixels\n");
  std::abort();
}

void Read(absl::string_view encoded, int channels, Fit fit) {
  auto image = DecodeImage(encoded, channels, kMaxFuzzPixels);
  if (!image.ok()) return;
  RequireWhole(*image);
  if (image->channels != channels) std::abort();
  const auto resized = ResizeImage(*std::move(image), kSide, kSide, fit);
  if (!resized.ok()) std::abort();
  RequireWhole(*resized);
}

}  // namespace
}  // namespace tfd::data

// The first byte says as what, the rest is the image.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const absl::string_view encoded(reinterpret_cast<const char*>(data) + 1,
                                  size - 1);
  tfd::data::Read(
      encoded, (data[0] & 1) != 0 ? 1 : 3,
      (data[0] & 2) != 0 ? tfd::data::Fit::kCrop : tfd::data::Fit::kStretch);
  return 0;
}
