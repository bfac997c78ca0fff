// Pixels in memory.
#ifndef TFD_DATA_IMAGE_IMAGE_H_
#define TFD_DATA_IMAGE_IMAGE_H_

#include <cstdint>
#include <vector>

namespace tfd::data {

struct Image {
  int height = 0;
  int width = 0;
  // 1 for grey, 3 for red, green and blue.
  int channels = 0;
  // Rows from the top, in them pixels from the left, in them channels.
  std::vector<uint8_t> pixels;
};

}  // namespace tfd::data

#endif  // TFD_DATA_IMAGE_IMAGE_H_
