#include "data/image/decode.h"

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "data/image/formats.h"

namespace tfd::data {
namespace {

constexpr absl::string_view kJpegStart = "\xff\xd8";
constexpr absl::string_view kPngStart = "\x89PNG\r\n\x1a\n";
// So much of what is no image is shown.
constexpr size_t kBytesShown = 8;

}  // namespace

absl::Status CheckSize(int64_t height, int64_t width, int64_t max_pixels) {
  if (height < 1 || width < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the image is empty: ", width, " × ", height, " pixels"));
  }
  if (height <= max_pixels / width) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the image has ", width, " × ", height,
                   " pixels, and at most ", max_pixels, " are taken"));
}

absl::StatusOr<Image> DecodeImage(absl::string_view encoded, int channels,
                                  int64_t max_pixels) {
  if (absl::StartsWith(encoded, kPngStart)) {
    return DecodePng(encoded, channels, max_pixels);
  }
  if (absl::StartsWith(encoded, kJpegStart)) {
    return DecodeJpeg(encoded, channels, max_pixels);
  }
  if (encoded.empty()) return absl::InvalidArgumentError("there are no bytes");
  return absl::InvalidArgumentError(
      absl::StrCat(encoded.size(), " bytes that begin with \"",
                   absl::CHexEscape(encoded.substr(0, kBytesShown)),
                   "\" are neither a JPEG nor a PNG image"));
}

}  // namespace tfd::data
