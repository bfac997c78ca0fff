#include "common/crc32c.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>

namespace tfd {
namespace {

std::string Counting(int first, int step) {
  std::string bytes;
  for (int i = 0; i < 32; ++i) {
    bytes.push_back(static_cast<char>(first + i * step));
  }
  return bytes;
}

// RFC 3720, appendix B.4, and the check value of CRC catalogues.
TEST(Crc32cTest, KnownValues) {
  const unsigned char read_command[48] = {
      0x01, 0xC0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
      0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
      0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0};
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(Crc32c(Counting(0, 1)), 0x46DD794Eu);
  EXPECT_EQ(Crc32c(Counting(31, -1)), 0x113FDB5Cu);
  EXPECT_EQ(ExtendCrc32c(0, read_command, sizeof(read_command)), 0xD9963A56u);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(Crc32cTest, TheTableKnowsTheSameValues) {
  EXPECT_EQ(internal::ExtendCrc32cByTable(0, "123456789", 9), 0xE3069283u);
}

TEST(Crc32cTest, InstructionAndTableAgreeAtEverySizeAndAlignment) {
  std::mt19937 random(1);
  std::string bytes(20000, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  for (size_t size :
       {0, 1, 7, 8, 9, 1023, 1024, 3071, 3072, 3073, 6144, 6151, 19000}) {
    for (size_t offset = 0; offset < 9; ++offset) {
      EXPECT_EQ(ExtendCrc32c(17, bytes.data() + offset, size),
                internal::ExtendCrc32cByTable(17, bytes.data() + offset, size))
          << size << " bytes at " << offset;
    }
  }
}

TEST(Crc32cTest, PartsExtendToTheWhole) {
  const std::string bytes = Counting(0, 7) + std::string(5000, 'x');
  for (size_t cut : {size_t{0}, size_t{1}, size_t{4000}, bytes.size()}) {
    const uint32_t first = Crc32c(bytes.substr(0, cut));
    EXPECT_EQ(ExtendCrc32c(first, bytes.data() + cut, bytes.size() - cut),
              Crc32c(bytes));
  }
}

}  // namespace
}  // namespace tfd
