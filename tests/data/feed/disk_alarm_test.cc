#include "data/feed/disk_alarm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/testing/temp_folder.h"
#include "data/feed/attempt_file.h"
#include "tests/data/arrow_messages.h"
#include "tests/data/feed/file_limit.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DiskAlarmTest : public ::testing::Test {
 protected:
  DiskAlarmTest() {
    RowWidths widths;
    file_ = *AttemptFile::Open(folder_ / "a.arrow", ImageColumns(), &widths);
    options_.pause = absl::ZeroDuration();
  }

  absl::Status WriteSchema() {
    const auto messages = ToMessages({ImageBatch(0, 0)});
    return file_->WriteSchema(
        {messages[0].metadata->data(),
         static_cast<size_t>(messages[0].metadata->size())},
        nullptr);
  }
  DiskAlarm MakeAlarm() {
    return DiskAlarm(options_, [this](const v1::SpoolNotice& notice) {
      notices_.push_back(notice);
    });
  }
  std::vector<v1::SpoolNotice::Kind> Kinds() {
    std::vector<v1::SpoolNotice::Kind> kinds;
    for (const auto& notice : notices_) kinds.push_back(notice.kind());
    return kinds;
  }

  testing::TempFolder folder_;
  std::unique_ptr<AttemptFile> file_;
  DiskAlarm::Options options_;
  std::vector<v1::SpoolNotice> notices_;
};

TEST_F(DiskAlarmTest, AWriteWaitsForRoomAndSaysSoOnce) {
  DiskAlarm alarm = MakeAlarm();
  auto limit = std::make_unique<FileLimit>(10);
  int waits = 0;
  const absl::Status status = alarm.Write([this] { return WriteSchema(); },
                                          [&](absl::Duration) {
                                            if (++waits == 3) limit.reset();
                                            return false;
                                          });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(waits, 3);
  EXPECT_THAT(Kinds(), ElementsAre(v1::SpoolNotice::DISK_FULL,
                                   v1::SpoolNotice::DISK_HAS_ROOM));
  EXPECT_THAT(notices_[0].message(),
              AllOf(HasSubstr("disk of the spool is full"),
                    HasSubstr("a.arrow"), HasSubstr("make room")));
}

TEST_F(DiskAlarmTest, AProducerThatGoesIsNotWaitedFor) {
  DiskAlarm alarm = MakeAlarm();
  const FileLimit limit(10);
  EXPECT_TRUE(absl::IsCancelled(alarm.Write(
      [this] { return WriteSchema(); }, [](absl::Duration) { return true; })));
}

TEST_F(DiskAlarmTest, PatienceEndsWithWhatIsToBeDone) {
  options_.patience = absl::ZeroDuration();
  DiskAlarm alarm = MakeAlarm();
  const FileLimit limit(10);
  const absl::Status status = alarm.Write([this] { return WriteSchema(); },
                                          [](absl::Duration) { return false; });
  // It may pass: a client comes again by itself.
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("make room"));
}

TEST_F(DiskAlarmTest, WhatIsNoWantOfRoomIsGivenBackAtOnce) {
  DiskAlarm alarm = MakeAlarm();
  EXPECT_TRUE(absl::IsResourceExhausted(
      alarm.Write([] { return absl::ResourceExhaustedError("spool_bytes"); },
                  [](absl::Duration) { return false; })));
  EXPECT_TRUE(notices_.empty());
}

}  // namespace
}  // namespace tfd::data
