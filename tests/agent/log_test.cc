// log_file.h and log_reader.h: what one writes the other reads.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <random>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/poll.h"
#include "common/testing/temp_folder.h"
#include "daemon/agent/log_file.h"
#include "daemon/agent/log_reader.h"
#include "tests/agent/agent_testing.h"

namespace tfd::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kPlenty = 1 << 20;

class LogTest : public ::testing::Test {
 protected:
  LogTest() {
    std::filesystem::create_directories(root_ / "job/worker-0");
    folder_ = *OpenLogFolder(root_.path(), Key("job", "worker/0"));
  }
  std::string Path(const std::string& name = "stdout.log") const {
    return root_ / ("job/worker-0/" + name);
  }
  LogReader Reader() const { return LogReader(folder_.get(), "stdout.log"); }
  static std::string ReadAll(LogReader& reader, bool finished = true) {
    std::string all;
    while (true) {
      const std::string some = reader.Read(kPlenty, finished);
      if (some.empty()) return all;
      all += some;
    }
  }
  std::string All() const {
    LogReader reader = Reader();
    return ReadAll(reader);
  }

  const tfd::testing::TempFolder root_;
  UniqueDescriptor folder_;
};

TEST_F(LogTest, FilesEndWithALine) {
  LogFile log(Path(), 10, 3);
  ASSERT_TRUE(log.Open().ok());
  log.Write("abc\ndefg\nhij");
  log.Write("k\nl\n");
  EXPECT_EQ(Slurp(Path("stdout.log.1")), "abc\ndefg\n");
  EXPECT_EQ(Slurp(Path()), "hijk\nl\n");
}

TEST_F(LogTest, ALongLineIsCutAndABeginningOneMovesOn) {
  LogFile log(Path(), 10, 4);
  ASSERT_TRUE(log.Open().ok());
  log.Write("abc\n");
  log.Write("0123456789012345");
  log.Write("\n");
  EXPECT_EQ(Slurp(Path("stdout.log.2")), "abc\n");
  EXPECT_EQ(Slurp(Path("stdout.log.1")), "0123456789");
  EXPECT_EQ(Slurp(Path()), "012345\n");
}

TEST_F(LogTest, TheOldestFileGoes) {
  LogFile log(Path(), 2, 2);
  ASSERT_TRUE(log.Open().ok());
  for (const char* line : {"1\n", "2\n", "3\n", "4\n"}) log.Write(line);
  EXPECT_EQ(Slurp(Path("stdout.log.1")) + Slurp(Path()), "3\n4\n");
  EXPECT_FALSE(std::filesystem::exists(Path("stdout.log.2")));
}

TEST_F(LogTest, OneFileIsEnough) {
  LogFile log(Path(), 2, 1);
  ASSERT_TRUE(log.Open().ok());
  for (const char* line : {"1\n", "2\n"}) log.Write(line);
  EXPECT_EQ(Slurp(Path()), "2\n");
  EXPECT_FALSE(std::filesystem::exists(Path("stdout.log.1")));
}

TEST_F(LogTest, GoesOnWhereAnotherGenerationEnded) {
  {
    LogFile log(Path(), 10, 2);
    ASSERT_TRUE(log.Open().ok());
    log.Write("first\n");
  }
  LogFile log(Path(), 10, 2);
  ASSERT_TRUE(log.Open().ok());
  log.Write("2nd\n");
  log.Write("3rd\n");
  EXPECT_EQ(Slurp(Path("stdout.log.1")), "first\n2nd\n");
  EXPECT_EQ(Slurp(Path()), "3rd\n");
}

TEST_F(LogTest, AFullDiskLosesLinesAndSaysHowMany) {
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  LogFile log(Path(), 1000, 2);
  ASSERT_TRUE(log.Open().ok());
  log.Write("before\n");
  rlimit full = before;
  full.rlim_cur = 10;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  log.Write("lost\n");
  log.Write("too\n");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  log.Write("after\n");
  EXPECT_EQ(Slurp(Path()),
            "before\n\n[tfd-agent: 9 bytes of this log were lost: File too "
            "large]\nafter\n");
}

TEST_F(LogTest, AFolderThatIsGoneLosesLinesAndNothingElse) {
  LogFile log(Path(), 5, 3);
  ASSERT_TRUE(log.Open().ok());
  log.Write("1234\n");
  std::filesystem::remove_all(root_ / "job");
  log.Write("5678\n");
  log.Write("9012\n");
  std::filesystem::create_directories(root_ / "job/worker-0");
  log.Write("3456\n");
  EXPECT_THAT(Slurp(Path("stdout.log.1")) + Slurp(Path()),
              ::testing::HasSubstr("3456\n"));
}

TEST_F(LogTest, ReadsAllFilesFromTheOldestOn) {
  Write(Path("stdout.log.2"), "1\n2\n");
  Write(Path("stdout.log.1"), "3\n");
  Write(Path(), "4\n5\n");
  EXPECT_EQ(All(), "1\n2\n3\n4\n5\n");
}

TEST_F(LogTest, ThereNeedBeNoLog) {
  LogReader reader = Reader();
  EXPECT_EQ(reader.Read(kPlenty, false), "");
  Write(Path(), "late\n");
  EXPECT_EQ(reader.Read(kPlenty, false), "late\n");
  EXPECT_EQ(reader.Read(kPlenty, true), "");
}

TEST_F(LogTest, KeepsAnUnfinishedLineUntilItsEnd) {
  LogFile log(Path(), 100, 2);
  ASSERT_TRUE(log.Open().ok());
  LogReader reader = Reader();
  log.Write("one\ntw");
  EXPECT_EQ(reader.Read(kPlenty, false), "one\n");
  EXPECT_EQ(reader.Read(kPlenty, false), "");
  log.Write("o\nthr");
  EXPECT_EQ(reader.Read(kPlenty, false), "two\n");
  EXPECT_EQ(reader.Read(kPlenty, true), "thr");
}

TEST_F(LogTest, ALineLongerThanAMessageComesInPieces) {
  Write(Path(), std::string(25, 'x') + "\n");
  LogReader reader = Reader();
  EXPECT_EQ(reader.Read(10, false), std::string(10, 'x'));
  EXPECT_EQ(reader.Read(10, false), std::string(10, 'x'));
  EXPECT_EQ(reader.Read(10, false), "xxxxx\n");
}

TEST_F(LogTest, FollowsThroughRotation) {
  std::mt19937 random(7);
  LogFile log(Path(), 400, 90);
  ASSERT_TRUE(log.Open().ok());
  LogReader reader = Reader();
  std::string written;
  std::string read;
  for (int i = 0; i < 500; ++i) {
    std::string some(random() % 70, static_cast<char>(random() % 256));
    if (random() % 2 == 0) some += '\n';
    log.Write(some);
    written += some;
    if (random() % 10 == 0) read += reader.Read(1 + random() % 300, false);
  }
  read += ReadAll(reader);
  EXPECT_TRUE(read == written) << read.size() << " of " << written.size();
}

TEST_F(LogTest, LosesNothingWhileTheOtherSideWritesAndRotates) {
  constexpr int kFiles = 6;
  constexpr uint64_t kFileBytes = 64;
  constexpr int kLines = 3'000;
  std::string expected;
  for (int i = 0; i < kLines; ++i) absl::StrAppend(&expected, i, "\n");
  // Not further behind than there are files.
  std::atomic<uint64_t> read_bytes = 0;
  LogReader reader = Reader();
  std::thread writer([&] {
    LogFile log(Path(), kFileBytes, kFiles);
    ASSERT_TRUE(log.Open().ok());
    uint64_t written = 0;
    for (int i = 0; i < kLines; ++i) {
      while (written > read_bytes + kFiles / 2 * kFileBytes) {
        std::this_thread::yield();
      }
      const std::string line = absl::StrCat(i, "\n");
      log.Write(line);
      written += line.size();
    }
  });
  std::string read;
  const absl::Time deadline = SteadyNow() + absl::Seconds(30);
  while (read.size() < expected.size() && SteadyNow() < deadline) {
    read += ReadAll(reader, /*finished=*/false);
    read_bytes = read.size();
  }
  read_bytes = expected.size();
  writer.join();
  EXPECT_TRUE(read == expected) << read.size();
}

TEST_F(LogTest, SaysThatItWasTooSlow) {
  LogFile log(Path(), 2, 2);
  ASSERT_TRUE(log.Open().ok());
  log.Write("1\n");
  LogReader reader = Reader();
  EXPECT_EQ(reader.Read(kPlenty, false), "1\n");
  for (const char* line : {"2\n", "3\n", "4\n", "5\n"}) log.Write(line);
  const std::string rest = ReadAll(reader, /*finished=*/false);
  EXPECT_THAT(rest, ::testing::HasSubstr("lines may be missing here"));
  EXPECT_TRUE(absl::EndsWith(rest, "4\n5\n")) << rest;
}

TEST_F(LogTest, TheTailMaySpanFiles) {
  Write(Path("stdout.log.2"), "1\n2\n");
  Write(Path("stdout.log.1"), "3\n");
  Write(Path(), "4\n5");
  const auto tail = [&](int lines) {
    LogReader reader = Reader();
    reader.SeekToTail(lines);
    return ReadAll(reader);
  };
  EXPECT_EQ(tail(1), "5");
  EXPECT_EQ(tail(2), "4\n5");
  EXPECT_EQ(tail(3), "3\n4\n5");
  EXPECT_EQ(tail(4), "2\n3\n4\n5");
  EXPECT_EQ(tail(5), "1\n2\n3\n4\n5");
  EXPECT_EQ(tail(99), "1\n2\n3\n4\n5");
}

TEST_F(LogTest, TheTailOfManyBlocks) {
  std::string lines;
  for (int i = 0; i < 100'000; ++i) absl::StrAppend(&lines, i, "\n");
  Write(Path(), lines);
  LogReader reader = Reader();
  reader.SeekToTail(50'000);
  const std::string tail = reader.Read(10 << 20, true);
  EXPECT_TRUE(absl::StartsWith(tail, "50000\n")) << tail.substr(0, 20);
}

TEST_F(LogTest, ReportsTheLastLines) {
  Write(Path(), "1\n2\n\n4\n");
  EXPECT_THAT(LastLines(folder_.get(), "stdout.log", 3),
              ElementsAre("2", "", "4"));
  EXPECT_THAT(LastLines(folder_.get(), "stderr.log", 3), IsEmpty());
}

TEST_F(LogTest, ReportedLinesAreBoundedAndValid) {
  Write(Path(), std::string(1 << 20, 'x') + "\nb\xff" + "d\x1b[0m\n");
  const auto lines = LastLines(folder_.get(), "stdout.log", 20);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_LT(lines[0].size(), 600u);
  EXPECT_EQ(lines[1], "b?d?[0m");
}

TEST_F(LogTest, DoesNotFollowALinkOutOfTheFolder) {
  Write(root_ / "secret", "secret\n");
  std::filesystem::create_symlink(root_ / "secret", Path());
  EXPECT_EQ(All(), "");
  std::filesystem::create_directory_symlink(root_.path(), root_ / "linked");
  EXPECT_FALSE(OpenLogFolder(root_.path(), Key("linked", "worker/0")).ok());
  EXPECT_FALSE(OpenLogFolder(root_.path(), Key("job", "worker/1")).ok());
}

TEST(ToValidUtf8Test, KeepsTextAndReplacesTheRest) {
  EXPECT_EQ(ToValidUtf8("aé€😀\t\n"), "aé€😀\t\n");
  EXPECT_EQ(ToValidUtf8("\xc3"), "?") << "cut";
  EXPECT_EQ(ToValidUtf8("\xe2\x82x"), "??x") << "cut";
  EXPECT_EQ(ToValidUtf8("\xc0\x80"), "??") << "overlong";
  EXPECT_EQ(ToValidUtf8("\xed\xa0\x80"), "???") << "a surrogate";
  EXPECT_EQ(ToValidUtf8("\xf5\x80\x80\x80"), "????") << "beyond Unicode";
  EXPECT_EQ(ToValidUtf8(absl::string_view("a\0b", 3)), "a?b");
}

}  // namespace
}  // namespace tfd::agent
