// JPEG and PNG, from bytes that nobody vouches for: what is damaged, cut short
// or too large is an error in words, and memory is bounded before it is taken.
// Thread-safe.
#ifndef TFD_DATA_IMAGE_DECODE_H_
#define TFD_DATA_IMAGE_DECODE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/image/image.h"

namespace tfd::data {

// Of one image; what an image of 3 channels takes is three times as many bytes.
inline constexpr int64_t kMaxPixels = int64_t{1} << 26;

// Which of the two it is, is told by the first bytes. `channels` is 1 or 3:
// colours become grey by the weights of JPEG (ITU-R BT.601), as in Pillow. What
// is transparent is taken as if it were not, 16 bits are cut to 8, and what the
// file says of gamma and colour profiles is not looked at. InvalidArgument for
// anything else and for images of more than `max_pixels`.
absl::StatusOr<Image> DecodeImage(absl::string_view encoded, int channels,
                                  int64_t max_pixels = kMaxPixels);

}  // namespace tfd::data

#endif  // TFD_DATA_IMAGE_DECODE_H_
