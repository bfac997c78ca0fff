#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "common/fs/file_system.h"
#include "common/testing/temp_folder.h"

namespace tfd {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class LocalFileSystemTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_ / name; }

  void Write(const std::string& name, const std::string& contents) {
    ASSERT_TRUE(WriteFileAtomically(files_, Path(name), contents).ok());
  }

  // Every entry, hidden ones too, as the system lists them.
  std::vector<std::string> Entries() const {
    std::vector<std::string> names;
    for (const auto& entry :
         std::filesystem::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  testing::TempFolder folder_;
  FileSystem& files_ = *LocalFileSystem();
};

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

TEST_F(LocalFileSystemTest, WhatIsWrittenIsRead) {
  const std::string contents =
      std::string("a\0b", 3) + std::string(300000, 'x');
  Write("file", contents);
  EXPECT_EQ(*ReadFile(files_, Path("file")), contents);
  Write("file", "shorter");
  EXPECT_EQ(*ReadFile(files_, Path("file")), "shorter");
  Write("empty", "");
  EXPECT_EQ(*ReadFile(files_, Path("empty")), "");
}

TEST_F(LocalFileSystemTest, AppendsOfAnySizeComeInTheirOrder) {
  auto file = files_.OpenForWriting(Path("file"));
  ASSERT_TRUE(file.ok()) << file.status();
  std::string expected;
  for (size_t size : {1, 10, 70000, 3, 65536, 65535, 0, 200000, 5}) {
    const std::string part(size, static_cast<char>('a' + size % 26));
    ASSERT_TRUE((*file)->Append(part.data(), part.size()).ok());
    expected += part;
  }
  ASSERT_TRUE((*file)->Commit().ok());
  EXPECT_EQ(*ReadFile(files_, Path("file")), expected);
}

TEST_F(LocalFileSystemTest, NothingIsVisibleBeforeCommit) {
  Write("file", "old");
  auto file = files_.OpenForWriting(Path("file"));
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append("new", 3).ok());
  EXPECT_EQ(*ReadFile(files_, Path("file")), "old");
  EXPECT_THAT(*files_.List(folder_.path()), ::testing::SizeIs(1));
  ASSERT_TRUE((*file)->Commit().ok());
  EXPECT_EQ(*ReadFile(files_, Path("file")), "new");
}

TEST_F(LocalFileSystemTest, AFileNotCommittedLeavesNothingBehind) {
  {
    auto file = files_.OpenForWriting(Path("file"));
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Append("x", 1).ok());
  }
  EXPECT_THAT(Entries(), ElementsAre());
}

TEST_F(LocalFileSystemTest, ACommitThatFailsLeavesNothingBehind) {
  ASSERT_TRUE(files_.CreateFolder(Path("taken")).ok());
  auto file = files_.OpenForWriting(Path("taken"));
  ASSERT_TRUE(file.ok());
  const absl::Status status = (*file)->Commit();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(Message(status), HasSubstr(Path("taken")));
  file->reset();
  EXPECT_THAT(Entries(), ElementsAre("taken"));
}

TEST_F(LocalFileSystemTest, WritingIntoAFolderThatIsNotThereIsNotFound) {
  const auto file = files_.OpenForWriting(Path("no/file"));
  EXPECT_TRUE(absl::IsNotFound(file.status())) << file.status();
  EXPECT_THAT(Message(file.status()),
              AllOf(HasSubstr(Path("no/file")), HasSubstr("has no \"no\"")));
}

TEST_F(LocalFileSystemTest, ReadsExactlyTheRangeAskedFor) {
  Write("file", "0123456789");
  auto file = files_.OpenForReading(Path("file"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->size_bytes(), 10u);
  char out[4] = {};
  ASSERT_TRUE((*file)->Read(6, 4, out).ok());
  EXPECT_EQ(std::string(out, 4), "6789");
  EXPECT_TRUE((*file)->Read(10, 0, out).ok());
}

TEST_F(LocalFileSystemTest, AReadBeyondTheEndNamesFileAndSize) {
  Write("file", "0123456789");
  auto file = files_.OpenForReading(Path("file"));
  ASSERT_TRUE(file.ok());
  char out[4] = {};
  for (uint64_t offset : {uint64_t{7}, uint64_t{10}, uint64_t{1} << 62}) {
    const absl::Status status = (*file)->Read(offset, 4, out);
    EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
    EXPECT_THAT(Message(status),
                AllOf(HasSubstr(Path("file")), HasSubstr("10 bytes")));
  }
}

TEST_F(LocalFileSystemTest, AFileCutShortAfterwardsIsAnErrorAndNoCrash) {
  Write("file", std::string(10000, 'x'));
  auto file = files_.OpenForReading(Path("file"));
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(truncate(Path("file").c_str(), 100), 0);
  std::string out(10000, '\0');
  EXPECT_TRUE(absl::IsOutOfRange((*file)->Read(0, out.size(), out.data())));
}

TEST_F(LocalFileSystemTest, AMappingHoldsTheWholeFile) {
  const std::string contents(100000, 'm');
  Write("file", contents);
  Write("empty", "");
  auto file = files_.OpenForReading(Path("file"));
  ASSERT_TRUE(file.ok());
  const std::byte* mapping = (*file)->mapping();
  ASSERT_NE(mapping, nullptr);
  EXPECT_EQ(std::memcmp(mapping, contents.data(), contents.size()), 0);
  EXPECT_EQ((*file)->mapping(), mapping);
  auto empty = files_.OpenForReading(Path("empty"));
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ((*empty)->mapping(), nullptr);
}

TEST_F(LocalFileSystemTest, ThreadsReadOneFile) {
  std::string contents(1 << 20, '\0');
  for (size_t i = 0; i < contents.size(); ++i) {
    contents[i] = static_cast<char>(i / 4096);
  }
  Write("file", contents);
  auto file = files_.OpenForReading(Path("file"));
  ASSERT_TRUE(file.ok());
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t at = t * 4096; at < contents.size(); at += 4 * 4096) {
        char out[4096];
        ASSERT_TRUE((*file)->Read(at, sizeof(out), out).ok());
        EXPECT_EQ(std::memcmp(out, contents.data() + at, sizeof(out)), 0);
      }
      EXPECT_NE((*file)->mapping(), nullptr);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(LocalFileSystemTest, NotFoundSaysWhatIsThereAndWhatWasMeant) {
  ASSERT_TRUE(files_.CreateFolder(Path("mnist")).ok());
  Write("mnist/train-images", "x");
  const absl::Status file =
      files_.OpenForReading(Path("mnist/train-image")).status();
  EXPECT_TRUE(absl::IsNotFound(file)) << file;
  EXPECT_THAT(Message(file),
              AllOf(HasSubstr(Path("mnist/train-image") + " does not exist"),
                    HasSubstr("did you mean \"train-images\"?")));
  const absl::Status parent = files_.Stat(Path("mnits/a/b")).status();
  EXPECT_THAT(Message(parent),
              AllOf(HasSubstr(folder_.path() + " has no \"mnits\""),
                    HasSubstr("did you mean \"mnist\"?")));
  const absl::Status far = files_.List(Path("completely-else")).status();
  EXPECT_TRUE(absl::IsNotFound(far)) << far;
  EXPECT_THAT(Message(far), Not(HasSubstr("did you mean")));
  const absl::Status below =
      files_.OpenForReading(Path("mnist/train-images/x")).status();
  EXPECT_TRUE(absl::IsNotFound(below)) << below;
  EXPECT_THAT(Message(below), HasSubstr("train-images is a file"));
}

TEST_F(LocalFileSystemTest, ALinkThatLeadsNowhereIsExplained) {
  std::filesystem::create_symlink("/no/such/target", Path("link"));
  const absl::Status status = files_.OpenForReading(Path("link")).status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(Message(status), HasSubstr("a link to /no/such/target"));
}

TEST_F(LocalFileSystemTest, AFolderOrPipeIsNoFileToRead) {
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  for (const std::string& path : {folder_.path(), Path("pipe")}) {
    const absl::Status status = files_.OpenForReading(path).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(Message(status), HasSubstr(path));
  }
}

TEST_F(LocalFileSystemTest, ListIsInOrderOfNamesWithSizes) {
  Write("b", "22");
  Write("a", "1");
  ASSERT_TRUE(files_.CreateFolder(Path("c")).ok());
  const auto list = files_.List(folder_.path());
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_EQ(list->size(), 3u);
  EXPECT_EQ((*list)[0].name, "a");
  EXPECT_EQ((*list)[0].size_bytes, 1u);
  EXPECT_FALSE((*list)[0].is_folder);
  EXPECT_EQ((*list)[1].size_bytes, 2u);
  EXPECT_TRUE((*list)[2].is_folder);
  EXPECT_TRUE(absl::IsFailedPrecondition(files_.List(Path("a")).status()));
}

TEST_F(LocalFileSystemTest, StatTellsFileFromFolder) {
  Write("file", "12345");
  const auto file = files_.Stat(Path("file"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->name, "file");
  EXPECT_EQ(file->size_bytes, 5u);
  EXPECT_TRUE(files_.Stat(folder_.path())->is_folder);
  EXPECT_TRUE(absl::IsNotFound(files_.Stat(Path("none")).status()));
}

TEST_F(LocalFileSystemTest, FoldersAreCreatedWithTheirParentsAndMayBeThere) {
  EXPECT_TRUE(files_.CreateFolder(Path("a/b/c")).ok());
  EXPECT_TRUE(files_.Stat(Path("a/b/c"))->is_folder);
  EXPECT_TRUE(files_.CreateFolder(Path("a/b/c")).ok());
  EXPECT_TRUE(files_.CreateFolder(Path("d/")).ok());
  Write("file", "x");
  EXPECT_THAT(Message(files_.CreateFolder(Path("file"))),
              HasSubstr("is a file"));
  EXPECT_THAT(Message(files_.CreateFolder(Path("file/below"))),
              HasSubstr(Path("file") + " is a file"));
}

TEST_F(LocalFileSystemTest, DeleteTakesFilesAndWholeFoldersAndAbsentIsFine) {
  ASSERT_TRUE(files_.CreateFolder(Path("a/b")).ok());
  Write("a/b/file", "x");
  Write("file", "x");
  EXPECT_TRUE(files_.Delete(Path("file")).ok());
  EXPECT_TRUE(files_.Delete(Path("a")).ok());
  EXPECT_TRUE(files_.Delete(Path("a")).ok());
  EXPECT_THAT(Entries(), ElementsAre());
  EXPECT_TRUE(absl::IsInvalidArgument(files_.Delete("/")));
  EXPECT_TRUE(absl::IsInvalidArgument(files_.Delete("")));
}

TEST_F(LocalFileSystemTest, DeleteDoesNotFollowLinks) {
  ASSERT_TRUE(files_.CreateFolder(Path("kept")).ok());
  Write("kept/file", "x");
  ASSERT_TRUE(files_.CreateFolder(Path("gone")).ok());
  std::filesystem::create_symlink(Path("kept"), Path("gone/link"));
  EXPECT_TRUE(files_.Delete(Path("gone")).ok());
  EXPECT_TRUE(files_.Stat(Path("kept/file")).ok());
}

TEST_F(LocalFileSystemTest, RenameReplacesAFileOrAnEmptyFolder) {
  Write("from", "new");
  Write("to", "old");
  EXPECT_TRUE(files_.Rename(Path("from"), Path("to")).ok());
  EXPECT_EQ(*ReadFile(files_, Path("to")), "new");
  ASSERT_TRUE(files_.CreateFolder(Path("f1/x")).ok());
  ASSERT_TRUE(files_.CreateFolder(Path("f2")).ok());
  EXPECT_TRUE(files_.Rename(Path("f1"), Path("f2")).ok());
  EXPECT_TRUE(files_.Stat(Path("f2/x")).ok());
}

TEST_F(LocalFileSystemTest, ARenameThatCannotBeNamesTheReason) {
  EXPECT_TRUE(absl::IsNotFound(files_.Rename(Path("none"), Path("to"))));
  Write("from", "x");
  const absl::Status status = files_.Rename(Path("from"), Path("no/to"));
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(Message(status), HasSubstr("has no \"no\""));
  ASSERT_TRUE(files_.CreateFolder(Path("full/x")).ok());
  ASSERT_TRUE(files_.CreateFolder(Path("f")).ok());
  EXPECT_FALSE(files_.Rename(Path("f"), Path("full")).ok());
}

TEST_F(LocalFileSystemTest, AWriteThatFailsNamesTheFileAndLeavesNothingBehind) {
  // A limit on the size of files stands in for a full disk.
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit limited = before;
  limited.rlim_cur = 1000;
  const auto old_handler = signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limited), 0);
  const absl::Status status =
      WriteFileAtomically(files_, Path("file"), std::string(5000, 'x'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, old_handler);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(Message(status), HasSubstr("cannot write " + Path("file")));
  EXPECT_THAT(Entries(), ElementsAre());
}

TEST(ResolveUriTest, PlainPathsAndFileUrisAreLocal) {
  const auto plain = ResolveUri("/data/../data/x/");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->path, "/data/x");
  EXPECT_EQ(plain->file_system, LocalFileSystem());
  EXPECT_EQ(ResolveUri("file:///data/x")->path, "/data/x");
  EXPECT_EQ(ResolveUri("FILE:///data/x")->path, "/data/x");
  EXPECT_EQ(ResolveUri("runs/mnist")->path,
            (std::filesystem::current_path() / "runs/mnist").string());
  EXPECT_EQ(ResolveUri("/")->path, "/");
  EXPECT_EQ(ResolveUri("/odd/na:me/a b://c")->path, "/odd/na:me/a b:/c");
}

TEST(ResolveUriTest, OtherSchemesAndNothingAreRefusedInWords) {
  for (const char* uri : {"gs://bucket/x", "http://host/x", "", "file://x",
                          "s3://bucket/x?region=a"}) {
    const auto result = ResolveUri(uri);
    EXPECT_TRUE(absl::IsInvalidArgument(result.status())) << uri;
  }
  EXPECT_THAT(Message(ResolveUri("gs://bucket/x").status()),
              AllOf(HasSubstr("gs://bucket/x"), HasSubstr("file://")));
}

TEST(JoinPathTest, PutsOneSlashBetween) {
  EXPECT_EQ(JoinPath("a/b", "c"), "a/b/c");
  EXPECT_EQ(JoinPath("a/b/", "c"), "a/b/c");
  EXPECT_EQ(JoinPath("/", "c"), "/c");
  EXPECT_EQ(JoinPath("", "c"), "c");
}

}  // namespace
}  // namespace tfd
