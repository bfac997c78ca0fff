// By libjpeg-turbo's TurboJPEG interface, which catches the library's longjmp
// itself: its own libjpeg would leave through our frames.
#include <turbojpeg.h>

#include <memory>
#include <string>
#include <type_traits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "data/image/formats.h"

namespace tfd::data {
namespace {

struct DestroyHandle {
  void operator()(void* handle) const { tjDestroy(handle); }
};
using Handle = std::unique_ptr<std::remove_pointer_t<tjhandle>, DestroyHandle>;

// Cameras leave bytes between the parts of a file; nothing is lost by them. All
// else that is a warning to the library makes wrong pixels, or grey ones.
bool IsHarmless(const std::string& message) {
  return absl::StrContains(message, "extraneous bytes before marker");
}

absl::Status Damaged(tjhandle handle) {
  return absl::InvalidArgumentError(
      absl::StrCat("the JPEG image is damaged: ", tjGetErrorStr2(handle)));
}

}  // namespace

absl::StatusOr<Image> DecodeJpeg(absl::string_view encoded, int channels,
                                 int64_t max_pixels) {
  const Handle decoder(tjInitDecompress());
  if (decoder == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("decoding a JPEG image: ", tjGetErrorStr2(nullptr)));
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(encoded.data());
  Image image;
  int subsampling = 0;
  int colours = 0;
  if (tjDecompressHeader3(decoder.get(), bytes, encoded.size(), &image.width,
                          &image.height, &subsampling, &colours) != 0) {
    return Damaged(decoder.get());
  }
  if (colours == TJCS_CMYK || colours == TJCS_YCCK) {
    return absl::InvalidArgumentError(
        "the JPEG image is of four colours (CMYK), as for print: convert it to "
        "RGB");
  }
  TFD_RETURN_IF_ERROR(CheckSize(image.height, image.width, max_pixels));
  image.channels = channels;
  image.pixels.resize(size_t{1} * image.height * image.width * channels);
  // An image of very many scans takes for ever to decode.
  const int result = tjDecompress2(
      decoder.get(), bytes, encoded.size(), image.pixels.data(), image.width,
      /*pitch=*/0, image.height, channels == 1 ? TJPF_GRAY : TJPF_RGB,
      TJFLAG_LIMITSCANS);
  if (result != 0 && (tjGetErrorCode(decoder.get()) != TJERR_WARNING ||
                      !IsHarmless(tjGetErrorStr2(decoder.get())))) {
    return Damaged(decoder.get());
  }
  return image;
}

}  // namespace tfd::data
