#include "daemon/coordinator/loop/event_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "daemon/coordinator/codec/event_codec.h"
#include "daemon/coordinator/decide/jobs.h"
#include "tests/coordinator/testing/values.h"

namespace tfd::coordinator {
namespace {

using ::testing::HasSubstr;

// Keeps everything in memory; can be told to fail or to keep one waiting.
class MemoryJournal : public Journal {
 public:
  absl::StatusOr<Recovery> Recover() override {
    Recovery recovery;
    recovery.term = ++term_;
    recovery.cluster_id = "c";
    recovery.snapshot_index = snapshot_index_;
    recovery.snapshot = snapshot_;
    recovery.events = events_;
    return recovery;
  }
  void Append(uint64_t, uint64_t index, std::vector<std::string> events,
              Done done) override {
    ++appends;
    if (gate != nullptr) gate->WaitForNotification();
    if (!failure.ok()) return done(failure);
    EXPECT_EQ(index, snapshot_index_ + events_.size());
    events_.insert(events_.end(), events.begin(), events.end());
    done(absl::OkStatus());
  }
  void Compact(uint64_t, uint64_t index, std::string snapshot,
               Done done) override {
    events_.erase(
        events_.begin(),
        events_.begin() + static_cast<int64_t>(index - snapshot_index_));
    snapshot_index_ = index;
    snapshot_ = std::move(snapshot);
    done(absl::OkStatus());
  }

  int appends = 0;
  absl::Notification* gate = nullptr;
  absl::Status failure;
  size_t size() const { return events_.size(); }
  uint64_t snapshot_index() const { return snapshot_index_; }

 private:
  uint64_t term_ = 0;
  uint64_t snapshot_index_ = 0;
  std::string snapshot_;
  std::vector<std::string> events_;
};

class RecordingOutlet : public Outlet {
 public:
  void CollectHeartbeats(Runtime&) override {}
  void Release(const Context&, const std::vector<Effect>& effects) override {
    released += effects.size();
  }
  void Tick(absl::Time) override { ++ticks; }
  size_t released = 0;
  int ticks = 0;
};

class EventLoopTest : public ::testing::Test {
 protected:
  std::unique_ptr<EventLoop> Start(LoopOptions options = {}) {
    options.tick = absl::InfiniteDuration();
    auto loop = std::make_unique<EventLoop>(
        options, EventLoop::Dependencies{&journal_, &clock_, &outlet_,
                                         [this](const absl::Status& status) {
                                           fatal_ = status;
                                           failed_.Notify();
                                         }});
    const absl::StatusOr<std::string> started = loop->Start();
    EXPECT_TRUE(started.ok()) << started.status();
    return loop;
  }

  static Work SubmitWork(const std::string& id, std::function<void()> durable) {
    return [id,
            durable = std::move(durable)](const Context& context) -> Answer {
      JobFacts facts = testing::Facts(1, 1, 0);
      facts.storage += id;
      EXPECT_TRUE(Submit(context, {id, "ada", "spec", facts, "t", "f"}).ok());
      return [durable](const Context&) {
        if (durable) durable();
      };
    };
  }

  // Runs after all that was posted before.
  static void Flush(EventLoop& loop) {
    absl::Notification done;
    ASSERT_TRUE(loop.Post([&done](const Context&) -> Answer {
                      return [&done](const Context&) { done.Notify(); };
                    })
                    .ok());
    done.WaitForNotification();
  }

  MemoryJournal journal_;
  FakeClock clock_;
  RecordingOutlet outlet_;
  absl::Notification failed_;
  absl::Status fatal_;
};

TEST_F(EventLoopTest, NothingIsToldBeforeItIsDurable) {
  auto loop = Start();
  absl::Notification gate;
  journal_.gate = &gate;
  absl::Notification answered;
  const size_t released = outlet_.released;
  ASSERT_TRUE(loop->Post(SubmitWork("j", [&] { answered.Notify(); })).ok());
  // The work is taken and waits in the journal.
  EXPECT_FALSE(answered.HasBeenNotified());
  EXPECT_EQ(outlet_.released, released);
  gate.Notify();
  answered.WaitForNotification();
  journal_.gate = nullptr;
  EXPECT_GT(outlet_.released, released);
  EXPECT_EQ(journal_.size(), 2u);
  loop->Stop();
}

TEST_F(EventLoopTest, WhatWaitsTogetherIsJournaledTogether) {
  auto loop = Start();
  absl::Notification gate;
  journal_.gate = &gate;
  ASSERT_TRUE(loop->Post(SubmitWork("first", nullptr)).ok());
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(loop->Post(SubmitWork("j" + std::to_string(i), nullptr)).ok());
  }
  gate.Notify();
  Flush(*loop);
  EXPECT_EQ(journal_.size(), 2u * 51);
  // The first may have gone alone; the others went in one or two.
  EXPECT_LE(journal_.appends, 4);
  loop->Stop();
}

TEST_F(EventLoopTest, ALaterDecisionOfABatchSeesTheEarlierOne) {
  auto loop = Start();
  absl::Notification gate;
  journal_.gate = &gate;
  ASSERT_TRUE(loop->Post(SubmitWork("blocker", nullptr)).ok());
  ASSERT_TRUE(loop->Post(SubmitWork("j", nullptr)).ok());
  absl::Status cancelled = absl::UnknownError("not run");
  ASSERT_TRUE(loop->Post([&cancelled](const Context& context) -> Answer {
                    cancelled = Cancel(context, "j", "");
                    return nullptr;
                  })
                  .ok());
  gate.Notify();
  Flush(*loop);
  EXPECT_TRUE(cancelled.ok()) << cancelled;
  loop->Stop();
}

TEST_F(EventLoopTest, AJournalThatFailsEndsItUntold) {
  auto loop = Start();
  journal_.failure = absl::ResourceExhaustedError("the disk is full");
  bool answered = false;
  const size_t released = outlet_.released;
  ASSERT_TRUE(loop->Post(SubmitWork("j", [&] { answered = true; })).ok());
  failed_.WaitForNotification();
  EXPECT_THAT(std::string(fatal_.message()), HasSubstr("disk is full"));
  EXPECT_TRUE(absl::IsUnavailable(loop->Post(SubmitWork("k", nullptr))));
  loop->Stop();
  EXPECT_FALSE(answered);
  EXPECT_EQ(outlet_.released, released);
}

TEST_F(EventLoopTest, RebuiltItKnowsWhatWasDurable) {
  {
    auto loop = Start();
    ASSERT_TRUE(loop->Post(SubmitWork("j", nullptr)).ok());
    Flush(*loop);
    loop->Stop();
  }
  auto loop = Start();
  bool known = false;
  ASSERT_TRUE(loop->Post([&known](const Context& context) -> Answer {
                    known = FindJob(context.state(), "j") != nullptr;
                    return nullptr;
                  })
                  .ok());
  Flush(*loop);
  EXPECT_TRUE(known);
  loop->Stop();
}

TEST_F(EventLoopTest, ASnapshotReplacesTheJournalAndIsReadAgain) {
  LoopOptions options;
  options.compact_every = 10;
  {
    auto loop = Start(options);
    for (int i = 0; i < 30; ++i) {
      ASSERT_TRUE(
          loop->Post(SubmitWork("j" + std::to_string(i), nullptr)).ok());
      Flush(*loop);
    }
    loop->Stop();
  }
  EXPECT_GE(journal_.snapshot_index(), 50u);
  EXPECT_LT(journal_.size(), 10u);
  auto loop = Start(options);
  size_t jobs = 0;
  ASSERT_TRUE(loop->Post([&jobs](const Context& context) -> Answer {
                    jobs = context.state().jobs.size();
                    return nullptr;
                  })
                  .ok());
  Flush(*loop);
  EXPECT_EQ(jobs, 30u);
  loop->Stop();
}

TEST_F(EventLoopTest, AFullQueueRefusesWork) {
  LoopOptions options;
  options.max_queue = 3;
  options.max_batch = 1;
  auto loop = Start(options);
  absl::Notification gate;
  journal_.gate = &gate;
  absl::Status status;
  int taken = 0;
  while (status.ok()) {
    status = loop->Post(SubmitWork("j" + std::to_string(taken), nullptr));
    taken += status.ok() ? 1 : 0;
  }
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_LE(taken, 5);
  gate.Notify();
  loop->Stop();
}

TEST_F(EventLoopTest, TimeIsLookedAtOnDemand) {
  auto loop = Start();
  loop->LookAtTimeNow();
  Flush(*loop);
  Flush(*loop);
  loop->Stop();
  EXPECT_GE(outlet_.ticks, 1);
}

}  // namespace
}  // namespace tfd::coordinator
