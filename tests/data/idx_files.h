// IDX files for tests.
#ifndef TFD_TESTS_DATA_IDX_FILES_H_
#define TFD_TESTS_DATA_IDX_FILES_H_

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace tfd::data {

inline void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string BigEndian(uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) {
    text.push_back(static_cast<char>(value >> (8 * i)));
  }
  return text;
}

inline std::string IdxHeader(uint8_t code, const std::vector<uint32_t>& dims) {
  std::string text = {0, 0, static_cast<char>(code),
                      static_cast<char>(dims.size())};
  for (const uint32_t dim : dims) text += BigEndian(dim, 4);
  return text;
}

// `records` records of height × width bytes, pixel p of record r being
// (r + p) mod 256, and labels r mod 10, in files `images` and `labels`.
inline void WriteImages(const std::string& images, const std::string& labels,
                        uint32_t records, uint32_t height = 2,
                        uint32_t width = 3) {
  std::string pixels = IdxHeader(0x08, {records, height, width});
  std::string classes = IdxHeader(0x08, {records});
  for (uint32_t r = 0; r < records; ++r) {
    for (uint32_t p = 0; p < height * width; ++p) {
      pixels.push_back(static_cast<char>(r + p));
    }
    classes.push_back(static_cast<char>(r % 10));
  }
  WriteBytes(images, pixels);
  WriteBytes(labels, classes);
}

}  // namespace tfd::data

#endif  // TFD_TESTS_DATA_IDX_FILES_H_
