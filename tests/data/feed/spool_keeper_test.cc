#include "data/feed/spool_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/poll.h"
#include "common/testing/temp_folder.h"
#include "tests/data/arrow_messages.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Answer = v1::ReviewAttemptsResponse;

constexpr absl::Duration kLease = absl::Minutes(15);

class SpoolKeeperTest : public ::testing::Test {
 protected:
  SpoolKeeperTest() {
    SpoolOptions options;
    options.folder = folder_ / "job";
    options.boot_id = "boot";
    for (const char* name : {"train", "validation"}) {
      SpoolDataset& dataset = options.datasets[name];
      dataset.columns = ImageColumns();
      dataset.spool_bytes = 1 << 20;
    }
    auto spool = Spool::Open(options);
    EXPECT_TRUE(spool.ok()) << spool.status();
    spool_ = *std::move(spool);
    SpoolKeeperOptions keeper;
    keeper.job = "j";
    keeper.generation = 3;
    keeper.lease = kLease;
    keeper.leases["validation"] = absl::Minutes(1);
    keeper.review = [this](const v1::ReviewAttemptsRequest& request) {
      return Review(request);
    };
    keeper.tell = [this](const v1::SpoolNotice& notice) {
      notices_.push_back(notice);
    };
    keeper_ = std::make_unique<SpoolKeeper>(keeper, spool_.get());
  }

  static AttemptKey Key(const std::string& producer,
                        const std::string& attempt) {
    return {"train", producer, "0", attempt};
  }
  std::unique_ptr<AttemptWriter> Push(const AttemptKey& key,
                                      std::function<void()> evict = nullptr) {
    auto writer = spool_->Acquire(key, std::move(evict));
    EXPECT_TRUE(writer.ok()) << writer.status();
    const auto messages = ToMessages({ImageBatch(0, 5)});
    EXPECT_TRUE((*writer)->Begin(messages[0].metadata).ok());
    EXPECT_TRUE((*writer)->Append(messages[1].metadata, messages[1].body).ok());
    return *std::move(writer);
  }
  void Seal(const AttemptKey& key) {
    EXPECT_TRUE(Push(key)->Finish().ok());
    spool_->MarkSealed(key);
  }
  bool Exists(const AttemptKey& key) {
    return std::filesystem::exists(folder_ / ("job/train/" + key.producer +
                                              "/" + key.partition + "/" +
                                              key.attempt + ".arrow"));
  }
  absl::StatusOr<Answer> Review(const v1::ReviewAttemptsRequest& request) {
    EXPECT_EQ(request.job(), "j");
    EXPECT_EQ(request.generation(), 3u);
    ++questions_;
    if (while_asked_) while_asked_();
    if (!refusal_.ok()) return refusal_;
    Answer answer;
    for (const v1::Attempt& attempt : request.attempts()) {
      asked_.push_back(attempt.attempt());
      const auto standing = standings_.find(attempt.attempt());
      answer.add_standings(standing == standings_.end() ? Answer::OPEN
                                                        : standing->second);
    }
    return answer;
  }

  testing::TempFolder folder_;
  std::unique_ptr<Spool> spool_;
  std::unique_ptr<SpoolKeeper> keeper_;
  // By attempt; open where there is none.
  std::map<std::string, Answer::Standing> standings_;
  absl::Status refusal_;
  std::function<void()> while_asked_;
  int questions_ = 0;
  std::vector<std::string> asked_;
  std::vector<v1::SpoolNotice> notices_;
};

TEST_F(SpoolKeeperTest, WhatIsAbortedIsDeletedAndItsRoomFree) {
  Seal(Key("p", "sealed"));
  AttemptKey open = Key("p", "open");
  open.partition = "1";
  Push(open);
  standings_ = {{"sealed", Answer::VOID}, {"open", Answer::VOID}};
  keeper_->ReviewProducer("train", "p");
  ASSERT_TRUE(keeper_->Tend(SteadyNow()).ok());
  EXPECT_EQ(spool_->used_bytes("train"), 0u);
  EXPECT_FALSE(Exists(Key("p", "sealed")));
  EXPECT_FALSE(Exists(open));
  // The partition is free, and so is the shape of its rows.
  auto writer = spool_->Acquire(Key("p", "again"), nullptr);
  ASSERT_TRUE(writer.ok()) << writer.status();
  const auto messages = ToMessages({ImageBatch(0, 5, /*pixels=*/9)});
  EXPECT_TRUE((*writer)->Begin(messages[0].metadata).ok());
  EXPECT_TRUE((*writer)->Append(messages[1].metadata, messages[1].body).ok());
}

TEST_F(SpoolKeeperTest, ASealThatAnAbortHasMadeVoidIsDroppedThoughItIsOpen) {
  // The producer has begun anew before the feed has asked.
  Seal(Key("p", "before"));
  keeper_->ReviewProducer("train", "p");
  ASSERT_TRUE(keeper_->Tend(SteadyNow()).ok());
  EXPECT_FALSE(Exists(Key("p", "before")));
}

TEST_F(SpoolKeeperTest, WhatIsSealedWhileTheCoordinatorIsAskedStays) {
  Push(Key("p", "a"));
  while_asked_ = [this] {
    auto writer = spool_->Acquire(Key("p", "a"), nullptr);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Finish().ok());
    spool_->MarkSealed((*writer)->key());
  };
  keeper_->ReviewAll();
  ASSERT_TRUE(keeper_->Tend(SteadyNow() + 2 * kLease).ok());
  EXPECT_EQ(questions_, 1);
  EXPECT_TRUE(Exists(Key("p", "a")));
}

TEST_F(SpoolKeeperTest, WhatIsBeingSealedIsTooLateToDrop) {
  // Asked about before its producer had begun, granted after.
  auto writer = Push(Key("p", "a"));
  standings_["a"] = Answer::VOID;
  while_asked_ = [&] { ASSERT_TRUE(writer->Finish().ok()); };
  keeper_->ReviewAll();
  ASSERT_TRUE(keeper_->Tend(SteadyNow()).ok());
  spool_->MarkSealed(writer->key());
  writer.reset();
  EXPECT_TRUE(Exists(Key("p", "a")));
  // One that was granted anew, too.
  while_asked_ = [this] { spool_->MarkSealed(Key("p", "a")); };
  keeper_->ReviewAll();
  ASSERT_TRUE(keeper_->Tend(SteadyNow()).ok());
  EXPECT_TRUE(Exists(Key("p", "a")));
  while_asked_ = nullptr;
  keeper_->ReviewAll();
  ASSERT_TRUE(keeper_->Tend(SteadyNow()).ok());
  EXPECT_FALSE(Exists(Key("p", "a")));
}

TEST_F(SpoolKeeperTest, OnlyTheAttemptsOfTheProducerAreAskedAbout) {
  Push(Key("p", "a"));
  Push(Key("q", "b"));
  keeper_->ReviewProducer("train", "q");
  keeper_->ReviewProducer("validation", "p");
  ASSERT_TRUE(keeper_->Tend(SteadyNow()).ok());
  EXPECT_EQ(asked_, std::vector<std::string>{"b"});
  ASSERT_TRUE(keeper_->Tend(SteadyNow()).ok());
  EXPECT_EQ(questions_, 1);
}

TEST_F(SpoolKeeperTest, AWriterOfWhatIsAbortedEndsAndDeletesIt) {
  bool evicted = false;
  auto writer = Push(Key("p", "a"), [&] { evicted = true; });
  standings_["a"] = Answer::VOID;
  keeper_->ReviewProducer("train", "p");
  ASSERT_TRUE(keeper_->Tend(SteadyNow()).ok());
  EXPECT_TRUE(evicted);
  const auto messages = ToMessages({ImageBatch(5, 6)});
  EXPECT_THAT(
      std::string(
          writer->Append(messages[1].metadata, messages[1].body).message()),
      HasSubstr("has aborted"));
  EXPECT_FALSE(writer->Finish().ok());
  writer.reset();
  EXPECT_FALSE(Exists(Key("p", "a")));
  EXPECT_EQ(spool_->used_bytes("train"), 0u);
}

TEST_F(SpoolKeeperTest, WhatAProducerLeavesIsDroppedAfterItsLeaseAndNamed) {
  Push(Key("p", "a"));
  auto busy = Push(Key("q", "busy"));
  ASSERT_TRUE(keeper_->Tend(SteadyNow() + kLease - absl::Minutes(1)).ok());
  EXPECT_EQ(questions_, 0);
  ASSERT_TRUE(keeper_->Tend(SteadyNow() + kLease).ok());
  EXPECT_EQ(asked_, std::vector<std::string>{"a"});
  EXPECT_FALSE(Exists(Key("p", "a")));
  EXPECT_TRUE(Exists(Key("q", "busy")));
  ASSERT_EQ(notices_.size(), 1u);
  EXPECT_EQ(notices_[0].kind(), v1::SpoolNotice::DATA_DROPPED);
  EXPECT_THAT(notices_[0].message(),
              AllOf(HasSubstr("producer p of train"), HasSubstr("15 min"),
                    HasSubstr("1 partition (first 0)")));
}

TEST_F(SpoolKeeperTest, ADatasetMayHaveALeaseOfItsOwn) {
  Push(Key("p", "a"));
  Push({"validation", "p", "0", "b"});
  ASSERT_TRUE(keeper_->Tend(SteadyNow() + absl::Minutes(1)).ok());
  EXPECT_EQ(asked_, std::vector<std::string>{"b"});
  ASSERT_EQ(notices_.size(), 1u);
  EXPECT_THAT(notices_[0].message(), HasSubstr("for 1 min"));
}

TEST_F(SpoolKeeperTest, WhatIsSealedHasNoLease) {
  Seal(Key("p", "a"));
  // Sealed by a feed before this one: nobody here knows, the coordinator does.
  { EXPECT_TRUE(Push(Key("q", "b"))->Finish().ok()); }
  standings_["b"] = Answer::SEALED;
  ASSERT_TRUE(keeper_->Tend(SteadyNow() + 2 * kLease).ok());
  EXPECT_EQ(asked_, std::vector<std::string>{"b"});
  EXPECT_TRUE(Exists(Key("p", "a")));
  EXPECT_TRUE(Exists(Key("q", "b")));
  // Now it knows.
  ASSERT_TRUE(keeper_->Tend(SteadyNow() + 2 * kLease).ok());
  EXPECT_EQ(questions_, 1);
  EXPECT_TRUE(notices_.empty());
}

TEST_F(SpoolKeeperTest, NothingIsDroppedWithoutTheCoordinatorsWord) {
  Seal(Key("p", "a"));
  AttemptKey other = Key("p", "b");
  other.partition = "1";
  Push(other);
  keeper_->ReviewProducer("train", "p");
  standings_ = {{"a", Answer::VOID}, {"b", Answer::VOID}};
  refusal_ = absl::FailedPreconditionError("generation 3 is stale");
  EXPECT_FALSE(keeper_->Tend(SteadyNow() + 2 * kLease).ok());
  EXPECT_TRUE(Exists(Key("p", "a")));
  EXPECT_TRUE(Exists(other));
  // It is asked again.
  refusal_ = absl::OkStatus();
  EXPECT_TRUE(keeper_->Await(absl::InfiniteDuration()));
  ASSERT_TRUE(keeper_->Tend(SteadyNow()).ok());
  EXPECT_EQ(spool_->used_bytes("train"), 0u);
}

TEST_F(SpoolKeeperTest, StopEndsAwait) {
  keeper_->Stop();
  EXPECT_FALSE(keeper_->Await(absl::InfiniteDuration()));
}

}  // namespace
}  // namespace tfd::data
