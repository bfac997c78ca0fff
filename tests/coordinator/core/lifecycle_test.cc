#include "daemon/coordinator/core/lifecycle.h"

#include <gtest/gtest.h>

namespace tfd::coordinator {
namespace {

constexpr JobState kJobStates[] = {JobState::kSubmitted,  JobState::kQueued,
                                   JobState::kStarting,   JobState::kRunning,
                                   JobState::kRestarting, JobState::kSucceeded,
                                   JobState::kFailed,     JobState::kCancelled};
constexpr TaskState kTaskStates[] = {
    TaskState::kPending, TaskState::kAssigned,  TaskState::kStarting,
    TaskState::kRunning, TaskState::kSucceeded, TaskState::kFailed,
    TaskState::kLost,    TaskState::kCancelled};

TEST(Lifecycle, NothingLeavesAnEnd) {
  for (const JobState from : kJobStates) {
    for (const JobState to : kJobStates) {
      if (IsEnd(from)) {
        EXPECT_FALSE(IsLegal(from, to))
            << JobStateName(from) << " to " << JobStateName(to);
      }
    }
  }
  for (const TaskState from : kTaskStates) {
    for (const TaskState to : kTaskStates) {
      if (IsEnd(from)) {
        EXPECT_FALSE(IsLegal(from, to))
            << TaskStateName(from) << " to " << TaskStateName(to);
      }
    }
  }
}

TEST(Lifecycle, EveryJobThatHasNotEndedMayFailOrBeCancelled) {
  for (const JobState from : kJobStates) {
    EXPECT_EQ(IsLegal(from, JobState::kFailed), !IsEnd(from));
    EXPECT_EQ(IsLegal(from, JobState::kCancelled), !IsEnd(from));
  }
}

TEST(Lifecycle, OnlyARunningJobSucceeds) {
  for (const JobState from : kJobStates) {
    EXPECT_EQ(IsLegal(from, JobState::kSucceeded), from == JobState::kRunning);
  }
}

TEST(Lifecycle, AHelloMayOvertakeTheAgentsReport) {
  EXPECT_TRUE(IsLegal(TaskState::kAssigned, TaskState::kRunning));
  EXPECT_FALSE(IsLegal(TaskState::kRunning, TaskState::kStarting));
}

TEST(Lifecycle, NothingStaysWhereItIs) {
  for (const JobState state : kJobStates) EXPECT_FALSE(IsLegal(state, state));
  for (const TaskState state : kTaskStates) EXPECT_FALSE(IsLegal(state, state));
}

}  // namespace
}  // namespace tfd::coordinator
