#include "common/task/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tfd::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

v1::TaskMessage Metrics(int64_t step) {
  v1::TaskMessage message;
  message.mutable_metrics()->set_step(step);
  return message;
}

v1::TaskMessage Saved(int64_t step) {
  v1::TaskMessage message;
  message.mutable_shard_saved()->set_step(step);
  return message;
}

v1::TaskMessage Evaluated(int64_t step) {
  v1::TaskMessage message;
  message.mutable_evaluated()->set_step(step);
  return message;
}

v1::TaskMessage Done(int64_t step) {
  v1::TaskMessage message;
  message.mutable_done()->set_step(step);
  return message;
}

// Sends everything, as "metrics 3".
std::vector<std::string> Drain(Outbox* outbox) {
  std::vector<std::string> sent;
  while (!outbox->empty()) {
    const Outbox::Entry entry = outbox->Front();
    const v1::TaskMessage& message = entry.message;
    if (message.has_metrics()) {
      sent.push_back("metrics " + std::to_string(message.metrics().step()));
    } else if (message.has_shard_saved()) {
      sent.push_back("saved " + std::to_string(message.shard_saved().step()));
    } else if (message.has_evaluated()) {
      sent.push_back("evaluated " + std::to_string(message.evaluated().step()));
    } else {
      sent.push_back("done " + std::to_string(message.done().step()));
    }
    outbox->Sent(entry.sequence);
  }
  return sent;
}

TEST(OutboxTest, MessagesLeaveInTheirOrder) {
  Outbox outbox;
  outbox.Add(Metrics(1), true);
  outbox.Add(Saved(1), true);
  outbox.Add(Metrics(2), true);
  EXPECT_THAT(Drain(&outbox), ElementsAre("metrics 1", "saved 1", "metrics 2"));
}

TEST(OutboxTest, MetricsAreDroppedWhileDisconnected) {
  Outbox outbox;
  outbox.Add(Metrics(1), false);
  outbox.Add(Saved(1), false);
  EXPECT_THAT(Drain(&outbox), ElementsAre("saved 1"));
}

TEST(OutboxTest, ANewStreamSendsAgainWhatMustNotGetLost) {
  Outbox outbox;
  outbox.Add(Evaluated(10), true);
  outbox.Add(Saved(10), true);
  outbox.Add(Metrics(11), true);
  outbox.Add(Evaluated(20), true);
  outbox.Add(Saved(20), true);
  Drain(&outbox);
  outbox.Add(Metrics(21), true);
  outbox.Add(Done(30), true);
  outbox.BeginStream();
  // Of evaluated the newest, of saved each step, then what was not sent yet.
  EXPECT_THAT(Drain(&outbox),
              ElementsAre("saved 10", "evaluated 20", "saved 20", "done 30"));
}

TEST(OutboxTest, WhatWaitsIsNotSentTwiceByANewStream) {
  Outbox outbox;
  outbox.Add(Saved(10), true);
  outbox.BeginStream();
  outbox.BeginStream();
  EXPECT_THAT(Drain(&outbox), ElementsAre("saved 10"));
}

TEST(OutboxTest, CommittedCheckpointsAreForgotten) {
  Outbox outbox;
  outbox.Add(Saved(10), true);
  outbox.Add(Saved(20), true);
  outbox.Add(Saved(30), true);
  Drain(&outbox);
  outbox.Committed(20);
  outbox.BeginStream();
  EXPECT_THAT(Drain(&outbox), ElementsAre("saved 30"));
  outbox.Committed(30);
  EXPECT_TRUE(outbox.settled());
}

TEST(OutboxTest, BeyondTheBoundTheOldestMetricsAreDropped) {
  Outbox outbox;
  outbox.Add(Saved(0), true);
  for (size_t step = 0; step < Outbox::kMaxQueued + 10; ++step) {
    outbox.Add(Metrics(static_cast<int64_t>(step)), true);
  }
  EXPECT_EQ(outbox.size(), Outbox::kMaxQueued);
  const std::vector<std::string> sent = Drain(&outbox);
  EXPECT_EQ(sent[0], "saved 0");
  EXPECT_EQ(sent[1], "metrics 11");
}

TEST(OutboxTest, ABoundHoldsWithoutMetricsToo) {
  Outbox outbox;
  for (size_t step = 0; step < Outbox::kMaxQueued + 10; ++step) {
    outbox.Add(Saved(static_cast<int64_t>(step)), true);
  }
  EXPECT_EQ(outbox.size(), Outbox::kMaxQueued);
  Drain(&outbox);
  outbox.BeginStream();
  EXPECT_EQ(outbox.size(), Outbox::kMaxRetainedSteps);
}

TEST(OutboxTest, AMessageDroppedWhileItWasSentTakesNoOtherWithIt) {
  Outbox outbox;
  outbox.Add(Metrics(0), true);
  const uint64_t in_flight = outbox.Front().sequence;
  for (size_t step = 1; step <= Outbox::kMaxQueued; ++step) {
    outbox.Add(Metrics(static_cast<int64_t>(step)), true);
  }
  outbox.Sent(in_flight);
  EXPECT_EQ(outbox.size(), Outbox::kMaxQueued);
}

TEST(OutboxTest, StartsSettled) {
  Outbox outbox;
  EXPECT_TRUE(outbox.settled());
  outbox.Add(Done(1), true);
  EXPECT_THAT(Drain(&outbox), ElementsAre("done 1"));
  EXPECT_TRUE(outbox.empty());
  EXPECT_FALSE(outbox.settled());
}

}  // namespace
}  // namespace tfd::internal
