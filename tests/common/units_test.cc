#include "common/units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tfd {
namespace {

using ::testing::HasSubstr;

TEST(UnitsTest, BytesAreReadWithUnitsOf1000AndOf1024) {
  EXPECT_EQ(*ParseBytes("512"), 512u);
  EXPECT_EQ(*ParseBytes("512B"), 512u);
  EXPECT_EQ(*ParseBytes("64KiB"), 65536u);
  EXPECT_EQ(*ParseBytes("1.5GiB"), 1610612736u);
  EXPECT_EQ(*ParseBytes("2GB"), 2000000000u);
  EXPECT_EQ(*ParseBytes(" 1 MiB "), 1048576u);
  EXPECT_EQ(*ParseBytes("3tib"), uint64_t{3} << 40);
  EXPECT_EQ(*ParseBytes("0"), 0u);
}

TEST(UnitsTest, LargeWholeNumbersOfBytesStayExact) {
  EXPECT_EQ(*ParseBytes("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(*ParseBytes("9007199254740993"), 9007199254740993u);
}

TEST(UnitsTest, WhatIsNoNumberOfBytesIsRefusedWithTheUnitsThereAre) {
  for (const char* text : {"", "MiB", "-1", "1.2.3", "x",
                           "18446744073709551616", "999999999TiB"}) {
    const auto result = ParseBytes(text);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_TRUE(absl::IsInvalidArgument(result.status()));
    EXPECT_THAT(std::string(result.status().message()), HasSubstr("GiB"));
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(text));
  }
  EXPECT_THAT(std::string(ParseBytes("5 parsecs").status().message()),
              HasSubstr("\"parsecs\""));
  EXPECT_THAT(std::string(ParseBytes("999999999TiB").status().message()),
              HasSubstr("too large"));
}

TEST(UnitsTest, DurationsAreReadAndABareNumberIsMilliseconds) {
  EXPECT_EQ(*ParseDuration("250ms"), absl::Milliseconds(250));
  EXPECT_EQ(*ParseDuration("10s"), absl::Seconds(10));
  EXPECT_EQ(*ParseDuration("5m"), absl::Minutes(5));
  EXPECT_EQ(*ParseDuration("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("1.5s"), absl::Milliseconds(1500));
  EXPECT_EQ(*ParseDuration("1500"), absl::Milliseconds(1500));
  EXPECT_EQ(*ParseDuration("0"), absl::ZeroDuration());
}

TEST(UnitsTest, WhatIsNoDurationIsRefused) {
  for (const char* text : {"", "s", "10 parsecs", "inf", "-1s", "-5", "1x"}) {
    const auto result = ParseDuration(text);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_THAT(std::string(result.status().message()),
                HasSubstr("\"" + std::string(text) + "\""));
  }
}

TEST(UnitsTest, BytesAreWrittenInTheUnitThatFits) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(640), "640 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBytes(1610612736), "1.5 GiB");
  EXPECT_EQ(FormatBytes((uint64_t{1} << 20) - 1), "1.0 MiB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "16.0 EiB");
}

TEST(UnitsTest, DurationsAreWrittenInTheUnitsThatFit) {
  EXPECT_EQ(tfd::FormatDuration(absl::ZeroDuration()), "0.0 s");
  EXPECT_EQ(tfd::FormatDuration(absl::Milliseconds(12)), "12 ms");
  EXPECT_EQ(tfd::FormatDuration(absl::Milliseconds(800)), "0.8 s");
  EXPECT_EQ(tfd::FormatDuration(absl::Milliseconds(12340)), "12.3 s");
  EXPECT_EQ(tfd::FormatDuration(absl::Milliseconds(59960)), "1 min 0 s");
  EXPECT_EQ(tfd::FormatDuration(absl::Seconds(125)), "2 min 5 s");
  EXPECT_EQ(tfd::FormatDuration(absl::Seconds(3599.8)), "1 h 0 min");
  EXPECT_EQ(tfd::FormatDuration(absl::Minutes(62)), "1 h 2 min");
  EXPECT_EQ(tfd::FormatDuration(-absl::Seconds(2)), "-2.0 s");
  EXPECT_EQ(tfd::FormatDuration(absl::InfiniteDuration()), "forever");
}

TEST(UnitsTest, CountsHaveSeparators) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(60000), "60,000");
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
  EXPECT_EQ(FormatCount(-1000), "-1,000");
  EXPECT_EQ(FormatCount(-100), "-100");
}

}  // namespace
}  // namespace tfd
