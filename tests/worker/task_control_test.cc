#include "worker/task_control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/worker/worker_testing.h"

namespace tfd::worker {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(30);

TEST(TaskControlTest, CommandsReachWhoWaitsForThem) {
  TaskControl control;
  std::thread link([&control] {
    v1::TaskCommand command;
    command.mutable_membership()->set_generation(4);
    command.mutable_membership()->add_datasets()->set_dataset("train");
    control.OnCommand(command);
    command.mutable_dataset()->set_dataset("validation");
    control.OnCommand(command);
    command.mutable_evaluate()->mutable_checkpoint()->set_step(7);
    control.OnCommand(command);
  });
  EXPECT_EQ(Must(control.AwaitMembership(kLong)).generation(), 4u);
  EXPECT_EQ(Must(control.AwaitDataset("train", kLong)).dataset(), "train");
  EXPECT_EQ(Must(control.AwaitDataset("validation", kLong)).dataset(),
            "validation");
  const Assignment assignment = Must(control.AwaitAssignment());
  EXPECT_EQ(std::get<v1::Evaluate>(assignment).checkpoint().step(), 7);
  link.join();
}

TEST(TaskControlTest, WaitsEndWithADeadlineThatSaysWhatIsMissing) {
  TaskControl control;
  const absl::Status membership =
      control.AwaitMembership(absl::Milliseconds(1)).status();
  EXPECT_EQ(membership.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(membership.message()), HasSubstr("coordinator"));
  const absl::Status dataset =
      control.AwaitDataset("train", absl::Milliseconds(1)).status();
  EXPECT_THAT(std::string(dataset.message()),
              AllOf(HasSubstr("train"), HasSubstr("producers")));
}

TEST(TaskControlTest, TheFirstReasonToEndIsKeptAndEndsEveryWait) {
  TaskControl control;
  std::thread signal([&control] {
    control.End(absl::CancelledError("first"));
    control.End(absl::InternalError("second"));
  });
  EXPECT_EQ(control.AwaitAssignment().status(), absl::CancelledError("first"));
  signal.join();
  EXPECT_EQ(control.status(), absl::CancelledError("first"));
  EXPECT_EQ(control.AwaitMembership(kLong).status(),
            absl::CancelledError("first"));
}

TEST(AwaitPatientlyTest, ReturnsWhatTheWaitSaysOnceItIsNoDeadline) {
  TaskControl control;
  int calls = 0;
  EXPECT_EQ(AwaitPatiently(control, kLong,
                           [&calls](absl::Duration) {
                             return ++calls < 3
                                        ? absl::DeadlineExceededError("x")
                                        : absl::OkStatus();
                           }),
            absl::OkStatus());
  EXPECT_EQ(calls, 3);
}

TEST(AwaitPatientlyTest, GivesUpWithTheWaitsOwnWords) {
  TaskControl control;
  EXPECT_EQ(AwaitPatiently(control, absl::ZeroDuration(),
                           [](absl::Duration) {
                             return absl::DeadlineExceededError("for ps/0");
                           }),
            absl::DeadlineExceededError("for ps/0"));
}

TEST(AwaitPatientlyTest, EndsWithTheTask) {
  TaskControl control;
  control.End(absl::CancelledError("stop"));
  EXPECT_EQ(AwaitPatiently(control, kLong,
                           [](absl::Duration) {
                             return absl::DeadlineExceededError("for ps/0");
                           }),
            absl::CancelledError("stop"));
}

}  // namespace
}  // namespace tfd::worker
