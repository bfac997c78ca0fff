#include "client/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace tfd::client {
namespace {

using ::testing::HasSubstr;

const absl::Time kStart = absl::FromUnixSeconds(1600000000);

v1::Job JobAtStep(int64_t step) {
  v1::Job job;
  job.set_id("j");
  job.set_state(v1::RUNNING);
  job.set_step(step);
  return job;
}

int CountLines(const std::string& text) {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

TEST(ProgressLineTest, FileGetsALineForNewsAndEveryTenSeconds) {
  std::ostringstream err;
  ProgressLine progress(&err, /*is_terminal=*/false, 80);
  progress.Show(JobAtStep(1), kStart);
  progress.Show(JobAtStep(2), kStart + absl::Seconds(1));
  EXPECT_EQ(CountLines(err.str()), 1);
  progress.Show(JobAtStep(3), kStart + absl::Seconds(11));
  EXPECT_EQ(CountLines(err.str()), 2);
  v1::Job job = JobAtStep(4);
  (*job.mutable_metrics())["validation_accuracy"] = 0.9;
  progress.Show(job, kStart + absl::Seconds(12));
  EXPECT_EQ(CountLines(err.str()), 3);
}

TEST(ProgressLineTest, TerminalRewritesOneLine) {
  std::ostringstream err;
  ProgressLine progress(&err, /*is_terminal=*/true, 80);
  progress.Show(JobAtStep(1), kStart);
  progress.Show(JobAtStep(2), kStart + absl::Seconds(1));
  EXPECT_EQ(CountLines(err.str()), 0);
  EXPECT_THAT(err.str(), HasSubstr("step 2"));
  progress.Finish();
  EXPECT_EQ(CountLines(err.str()), 1);
}

}  // namespace
}  // namespace tfd::client
