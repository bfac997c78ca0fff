#include "common/random.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tfd {
namespace {

TEST(RandomTest, IdsAreLowerCaseLettersAndDigitsOfTheLengthAskedFor) {
  std::set<char> seen;
  for (size_t length = 0; length < 200; ++length) {
    const std::string id = RandomId(length);
    EXPECT_EQ(id.size(), length);
    seen.insert(id.begin(), id.end());
  }
  // 19,900 draws of 36 characters: each of them is there.
  EXPECT_EQ(std::string(seen.begin(), seen.end()),
            "0123456789abcdefghijklmnopqrstuvwxyz");
}

TEST(RandomTest, NothingIsDrawnTwice) {
  std::set<uint64_t> numbers;
  std::set<std::string> tokens;
  for (int i = 0; i < 1000; ++i) {
    numbers.insert(RandomUint64());
    tokens.insert(RandomToken());
  }
  EXPECT_EQ(numbers.size(), 1000u);
  EXPECT_EQ(tokens.size(), 1000u);
}

TEST(RandomTest, ATokenIs256BitsInHexadecimal) {
  const std::string token = RandomToken();
  EXPECT_EQ(token.size(), 64u);
  EXPECT_EQ(token.find_first_not_of("0123456789abcdef"), std::string::npos);
}

}  // namespace
}  // namespace tfd
