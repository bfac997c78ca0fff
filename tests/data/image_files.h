// Encoded images, for tests.
#ifndef TFD_TESTS_DATA_IMAGE_FILES_H_
#define TFD_TESTS_DATA_IMAGE_FILES_H_

#include <gtest/gtest.h>
#include <png.h>
#include <turbojpeg.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "data/image/image.h"

namespace tfd::data {

// `format` as libpng's simplified interface has it (PNG_FORMAT_…); the pixels
// are of that format.
inline std::string PngOfPixels(int height, int width, const void* pixels,
                               uint32_t format, const void* colours = nullptr,
                               uint32_t colour_count = 0) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.height = height;
  image.width = width;
  image.format = format;
  image.colormap_entries = colour_count;
  png_alloc_size_t size_bytes = 0;
  EXPECT_NE(
      png_image_write_get_memory_size(image, size_bytes, 0, pixels, 0, colours),
      0);
  std::string encoded(size_bytes, '\0');
  EXPECT_NE(png_image_write_to_memory(&image, &encoded[0], &size_bytes, 0,
                                      pixels, 0, colours),
            0);
  encoded.resize(size_bytes);
  return encoded;
}

inline std::string PngOf(const Image& image) {
  return PngOfPixels(image.height, image.width, image.pixels.data(),
                     image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB);
}

// Of high quality, without subsampling of colours. `format` is a TJPF_….
inline std::string JpegOf(const Image& image, int format, int flags = 0) {
  const tjhandle encoder = tjInitCompress();
  unsigned char* bytes = nullptr;
  unsigned long size_bytes = 0;
  EXPECT_EQ(tjCompress2(encoder, image.pixels.data(), image.width, 0,
                        image.height, format, &bytes, &size_bytes,
                        format == TJPF_GRAY ? TJSAMP_GRAY : TJSAMP_444,
                        /*jpegQual=*/95, flags),
            0)
      << tjGetErrorStr2(encoder);
  std::string encoded(reinterpret_cast<const char*>(bytes), size_bytes);
  tjFree(bytes);
  tjDestroy(encoder);
  return encoded;
}

// Smooth, so that JPEG keeps it: channel c grows with row and column.
inline Image Gradient(int height, int width, int channels) {
  Image image{height, width, channels, {}};
  for (int row = 0; row < height; ++row) {
    for (int column = 0; column < width; ++column) {
      for (int c = 0; c < channels; ++c) {
        image.pixels.push_back(
            static_cast<uint8_t>(20 + 4 * row + 3 * column + 30 * c));
      }
    }
  }
  return image;
}

}  // namespace tfd::data

#endif  // TFD_TESTS_DATA_IMAGE_FILES_H_
