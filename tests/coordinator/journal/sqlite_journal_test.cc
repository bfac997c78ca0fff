#include "daemon/coordinator/journal/sqlite_journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "common/testing/temp_folder.h"
#include "daemon/coordinator/journal/state_folder.h"

namespace tfd::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using tfd::testing::TempFolder;

std::unique_ptr<Journal> Open(const std::string& path) {
  SqliteJournalOptions options;
  options.path = path;
  options.patience = absl::ZeroDuration();
  absl::StatusOr<std::unique_ptr<Journal>> journal = OpenSqliteJournal(options);
  EXPECT_TRUE(journal.ok()) << journal.status();
  return journal.ok() ? *std::move(journal) : nullptr;
}

absl::Status Append(Journal& journal, uint64_t term, uint64_t index,
                    std::vector<std::string> events) {
  absl::Notification given;
  absl::Status verdict;
  journal.Append(term, index, std::move(events), [&](absl::Status status) {
    verdict = std::move(status);
    given.Notify();
  });
  given.WaitForNotification();
  return verdict;
}

absl::Status Compact(Journal& journal, uint64_t term, uint64_t index,
                     std::string snapshot) {
  absl::Notification given;
  absl::Status verdict;
  journal.Compact(term, index, std::move(snapshot), [&](absl::Status status) {
    verdict = std::move(status);
    given.Notify();
  });
  given.WaitForNotification();
  return verdict;
}

TEST(SqliteJournal, ANewOneIsEmptyAndHasACluster) {
  TempFolder folder;
  auto journal = Open(folder / "j.db");
  const absl::StatusOr<Recovery> recovery = journal->Recover();
  ASSERT_TRUE(recovery.ok()) << recovery.status();
  EXPECT_EQ(recovery->term, 1u);
  EXPECT_FALSE(recovery->cluster_id.empty());
  EXPECT_TRUE(recovery->events.empty());
  EXPECT_EQ(recovery->snapshot_index, 0u);
}

TEST(SqliteJournal, EventsComeBackInOrderInANewTerm) {
  TempFolder folder;
  std::string cluster;
  {
    auto journal = Open(folder / "j.db");
    cluster = journal->Recover()->cluster_id;
    EXPECT_TRUE(Append(*journal, 1, 0, {"a", std::string("b\0c", 3)}).ok());
    EXPECT_TRUE(Append(*journal, 1, 2, {"d"}).ok());
  }
  auto journal = Open(folder / "j.db");
  const absl::StatusOr<Recovery> recovery = journal->Recover();
  ASSERT_TRUE(recovery.ok()) << recovery.status();
  EXPECT_EQ(recovery->term, 2u);
  EXPECT_EQ(recovery->cluster_id, cluster);
  EXPECT_THAT(recovery->events, ElementsAre("a", std::string("b\0c", 3), "d"));
  EXPECT_TRUE(Append(*journal, 2, 3, {"e"}).ok());
}

TEST(SqliteJournal, AWrongIndexIsRefusedAndWritesNothing) {
  TempFolder folder;
  auto journal = Open(folder / "j.db");
  ASSERT_TRUE(journal->Recover().ok());
  ASSERT_TRUE(Append(*journal, 1, 0, {"a"}).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Append(*journal, 1, 0, {"b"})));
  EXPECT_TRUE(absl::IsFailedPrecondition(Append(*journal, 1, 5, {"b"})));
  EXPECT_TRUE(Append(*journal, 1, 1, {"b"}).ok());
  journal = nullptr;
  EXPECT_THAT(Open(folder / "j.db")->Recover()->events, ElementsAre("a", "b"));
}

TEST(SqliteJournal, AnOldTermIsFenced) {
  TempFolder folder;
  auto journal = Open(folder / "j.db");
  ASSERT_TRUE(journal->Recover().ok());
  const absl::Status status = Append(*journal, 7, 0, {"a"});
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("taken over"));
  EXPECT_TRUE(Append(*journal, 1, 0, {"a"}).ok());
}

TEST(SqliteJournal, ManyWritersAreMadeDurableTogether) {
  TempFolder folder;
  auto journal = Open(folder / "j.db");
  ASSERT_TRUE(journal->Recover().ok());
  constexpr int kAppends = 500;
  absl::BlockingCounter open(kAppends);
  std::atomic<int> refused{0};
  for (int i = 0; i < kAppends; ++i) {
    journal->Append(1, i, {absl::StrCat("e", i)}, [&](absl::Status status) {
      refused += status.ok() ? 0 : 1;
      open.DecrementCount();
    });
  }
  open.Wait();
  EXPECT_EQ(refused, 0);
  journal = nullptr;
  const std::vector<std::string> events =
      Open(folder / "j.db")->Recover()->events;
  ASSERT_EQ(events.size(), static_cast<size_t>(kAppends));
  EXPECT_EQ(events.back(), "e499");
}

TEST(SqliteJournal, ASnapshotTakesThePlaceOfItsEvents) {
  TempFolder folder;
  auto journal = Open(folder / "j.db");
  ASSERT_TRUE(journal->Recover().ok());
  ASSERT_TRUE(Append(*journal, 1, 0, {"a", "b", "c"}).ok());
  ASSERT_TRUE(Compact(*journal, 1, 2, "state of a and b").ok());
  ASSERT_TRUE(Append(*journal, 1, 3, {"d"}).ok());
  journal = nullptr;
  const absl::StatusOr<Recovery> recovery = Open(folder / "j.db")->Recover();
  ASSERT_TRUE(recovery.ok()) << recovery.status();
  EXPECT_EQ(recovery->snapshot_index, 2u);
  EXPECT_EQ(recovery->snapshot, "state of a and b");
  EXPECT_THAT(recovery->events, ElementsAre("c", "d"));
}

// A child appends until it is killed; what it was told is durable must be
// there, and what is there must be without gaps.
TEST(SqliteJournal, WhatWasAcknowledgedSurvivesAKill) {
  TempFolder folder;
  const std::string path = folder / "j.db";
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto journal = Open(path);
    if (!journal->Recover().ok()) _exit(1);
    for (uint32_t i = 0;; ++i) {
      if (!Append(*journal, 1, i, {absl::StrCat("e", i)}).ok()) _exit(2);
      if (write(pipe_ends[1], &i, sizeof(i)) != sizeof(i)) _exit(3);
    }
  }
  close(pipe_ends[1]);
  uint32_t acknowledged = 0;
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(read(pipe_ends[0], &acknowledged, sizeof(acknowledged)),
              static_cast<ssize_t>(sizeof(acknowledged)));
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  uint32_t more = 0;
  while (read(pipe_ends[0], &more, sizeof(more)) == sizeof(more)) {
    acknowledged = more;
  }
  close(pipe_ends[0]);
  const std::vector<std::string> events = Open(path)->Recover()->events;
  ASSERT_GT(events.size(), acknowledged);
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i], absl::StrCat("e", i));
  }
}

// A power cut may leave the end of the log half written.
TEST(SqliteJournal, AHalfWrittenEndIsLeftOut) {
  TempFolder folder;
  const std::string path = folder / "j.db";
  const std::string copy = folder / "copy.db";
  {
    auto journal = Open(path);
    ASSERT_TRUE(journal->Recover().ok());
    for (uint64_t i = 0; i < 20; ++i) {
      ASSERT_TRUE(Append(*journal, 1, i, {std::string(1000, 'x')}).ok());
    }
    // As a crash would leave it: with the log not yet taken in.
    std::filesystem::copy_file(path, copy);
    std::filesystem::copy_file(path + "-wal", copy + "-wal");
  }
  const auto size = std::filesystem::file_size(copy + "-wal");
  std::filesystem::resize_file(copy + "-wal", size - 700);
  const absl::StatusOr<Recovery> recovery = Open(copy)->Recover();
  ASSERT_TRUE(recovery.ok()) << recovery.status();
  EXPECT_LT(recovery->events.size(), 20u);
  EXPECT_GT(recovery->events.size(), 10u);
}

TEST(SqliteJournal, ADamagedFileIsRefusedInWords) {
  TempFolder folder;
  std::ofstream(folder / "j.db") << std::string(8192, 'x');
  SqliteJournalOptions options;
  options.path = folder / "j.db";
  const auto journal = OpenSqliteJournal(options);
  EXPECT_TRUE(absl::IsDataLoss(journal.status())) << journal.status();
  EXPECT_THAT(std::string(journal.status().message()), HasSubstr("j.db"));
}

TEST(SqliteJournal, TheFileIsForItsOwnerAlone) {
  TempFolder folder;
  Open(folder / "j.db");
  EXPECT_EQ(
      std::filesystem::status(folder / "j.db").permissions(),
      std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(StateFolder, ASecondHolderIsToldWhoHasIt) {
  TempFolder folder;
  const std::string path = folder / "state";
  {
    const absl::StatusOr<StateFolder> first = StateFolder::Open(path);
    ASSERT_TRUE(first.ok()) << first.status();
    const absl::StatusOr<StateFolder> second = StateFolder::Open(path);
    EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
    EXPECT_THAT(std::string(second.status().message()),
                HasSubstr(absl::StrCat("pid ", getpid())));
  }
  EXPECT_TRUE(StateFolder::Open(path).ok());
}

TEST(StateFolder, OneThatCannotBeMadeIsNamed) {
  const absl::StatusOr<StateFolder> folder = StateFolder::Open("/proc/none");
  ASSERT_FALSE(folder.ok());
  EXPECT_THAT(std::string(folder.status().message()), HasSubstr("/proc/none"));
}

}  // namespace
}  // namespace tfd::coordinator
