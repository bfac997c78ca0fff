#include "common/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tfd {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

TEST(LogTest, ALineHasTimeLevelNameAndText) {
  ASSERT_TRUE(InitLogging({"job mnist ps/0", "info"}).ok());
  ::testing::internal::CaptureStderr();
  spdlog::info("step {}: {}", 7, absl::string_view("done"));
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2} "
                           "[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} "
                           "I job mnist ps/0: step 7: done\n"));
}

TEST(LogTest, TheLevelHoldsBackWhatIsBelowIt) {
  ASSERT_TRUE(InitLogging({"x", "warn"}).ok());
  ::testing::internal::CaptureStderr();
  spdlog::info("quiet");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), IsEmpty());
  ::testing::internal::CaptureStderr();
  spdlog::warn("loud");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr(" W x: loud"));
}

TEST(LogTest, AnUnknownLevelIsRefusedWithThoseThereAre) {
  const absl::Status status = InitLogging({"x", "loud"});
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"loud\""));
  EXPECT_THAT(std::string(status.message()), HasSubstr("debug"));
}

}  // namespace
}  // namespace tfd
