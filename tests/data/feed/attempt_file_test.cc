#include "data/feed/attempt_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/crc32c.h"
#include "common/fs/file_system.h"
#include "common/testing/temp_folder.h"
#include "tests/data/arrow_messages.h"
#include "tests/data/feed/file_limit.h"
#include "tests/data/idx_files.h"

namespace tfd::data {
namespace {

using ::testing::HasSubstr;

absl::Span<const uint8_t> Bytes(const std::shared_ptr<arrow::Buffer>& buffer) {
  return {buffer->data(), static_cast<size_t>(buffer->size())};
}

class AttemptFileTest : public ::testing::Test {
 protected:
  std::unique_ptr<AttemptFile> OpenOrDie() {
    RowWidths widths;
    auto file = AttemptFile::Open(path_, ImageColumns(), &widths);
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }
  // Writes schema and batches of the rows up to `ends`.
  void Write(AttemptFile* file, const std::vector<int>& ends) {
    std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
    int begin = static_cast<int>(file->rows());
    for (const int end : ends) {
      batches.push_back(ImageBatch(begin, end));
      begin = end;
    }
    const auto messages = ToMessages(batches);
    if (file->schema() == nullptr) {
      auto schema = RecordSchema::Make(messages[0].metadata, ImageColumns());
      ASSERT_TRUE(
          file->WriteSchema(Bytes(messages[0].metadata),
                            std::make_unique<RecordSchema>(*std::move(schema)))
              .ok());
    }
    for (size_t i = 1; i < messages.size(); ++i) {
      ASSERT_TRUE(file->Append(Bytes(messages[i].metadata),
                               Bytes(messages[i].body),
                               batches[i - 1]->num_rows())
                      .ok());
    }
  }
  std::string Contents() { return *ReadFile(*LocalFileSystem(), path_); }
  // All labels and the first pixels, as Arrow's own reader sees them.
  std::vector<int> RowsByArrow() {
    arrow::io::BufferReader stream(arrow::Buffer::FromString(Contents()));
    auto reader =
        arrow::ipc::RecordBatchStreamReader::Open(&stream).ValueOrDie();
    std::vector<int> rows;
    std::shared_ptr<arrow::RecordBatch> batch;
    while (reader->ReadNext(&batch).ok() && batch) {
      const auto& images =
          static_cast<const arrow::BinaryArray&>(*batch->column(0));
      for (int64_t r = 0; r < batch->num_rows(); ++r) {
        rows.push_back(static_cast<uint8_t>(images.GetView(r)[0]));
      }
    }
    return rows;
  }

  testing::TempFolder folder_;
  const std::string path_ = folder_ / "a.arrow";
};

std::vector<int> Sequence(int end) {
  std::vector<int> numbers(end);
  for (int i = 0; i < end; ++i) numbers[i] = i % 256;
  return numbers;
}

TEST_F(AttemptFileTest, AFinishedFileIsAnArrowStreamWithItsChecksum) {
  auto file = OpenOrDie();
  EXPECT_EQ(file->rows(), 0);
  EXPECT_EQ(file->schema(), nullptr);
  Write(file.get(), {7, 20, 21});
  EXPECT_EQ(file->rows(), 21);
  const auto sealable = file->Finish();
  ASSERT_TRUE(sealable.ok()) << sealable.status();
  EXPECT_EQ(sealable->rows, 21);
  EXPECT_EQ(sealable->crc32c, Crc32c(Contents()));
  EXPECT_EQ(file->size_bytes(), Contents().size());
  EXPECT_EQ(RowsByArrow(), Sequence(21));
}

TEST_F(AttemptFileTest, AKilledWritersRowsAreFoundAgain) {
  Write(OpenOrDie().get(), {5, 9});
  auto file = OpenOrDie();
  EXPECT_EQ(file->rows(), 9);
  ASSERT_NE(file->schema(), nullptr);
  Write(file.get(), {30});
  const auto sealable = file->Finish();
  ASSERT_TRUE(sealable.ok());
  EXPECT_EQ(sealable->crc32c, Crc32c(Contents()));
  EXPECT_EQ(RowsByArrow(), Sequence(30));
}

TEST_F(AttemptFileTest, ATornMessageIsCutOffWhereverItIsTorn) {
  uint64_t before = 0;
  {
    auto file = OpenOrDie();
    Write(file.get(), {5, 9});
    before = file->size_bytes();
    Write(file.get(), {14});
  }
  const std::string whole = Contents();
  ASSERT_LT(before, whole.size());
  for (uint64_t size = before; size < whole.size(); ++size) {
    WriteBytes(path_, whole.substr(0, size));
    auto file = OpenOrDie();
    ASSERT_EQ(file->rows(), 9) << size;
    ASSERT_EQ(file->size_bytes(), before) << size;
    ASSERT_EQ(Contents().size(), before) << size;
    Write(file.get(), {14});
    ASSERT_EQ(Contents(), whole) << size;
  }
}

TEST_F(AttemptFileTest, ATornSchemaLeavesAnEmptyFile) {
  Write(OpenOrDie().get(), {5});
  const std::string whole = Contents();
  IpcMessagePlace schema;
  auto reader = LocalFileSystem()->OpenForReading(path_);
  ASSERT_EQ(*FindIpcMessage(**reader, 0, &schema), IpcNext::kMessage);
  for (uint64_t size = 0; size < schema.end(); ++size) {
    WriteBytes(path_, whole.substr(0, size));
    auto file = OpenOrDie();
    ASSERT_EQ(file->rows(), 0) << size;
    ASSERT_EQ(file->schema(), nullptr) << size;
    ASSERT_EQ(Contents(), "") << size;
  }
}

TEST_F(AttemptFileTest, ZerosAfterAPowerCutAreCutOff) {
  Write(OpenOrDie().get(), {5});
  const std::string whole = Contents();
  WriteBytes(path_, whole + std::string(4096, '\0'));
  EXPECT_EQ(OpenOrDie()->rows(), 5);
  EXPECT_EQ(Contents(), whole);
}

TEST_F(AttemptFileTest, AnEndWithoutItsMarkerIsNoEnd) {
  Write(OpenOrDie().get(), {5});
  const std::string whole = Contents();
  // Killed between the end's writing and the marker's, or within the end.
  const std::string end(reinterpret_cast<const char*>(kIpcEnd), 8);
  for (size_t size = 1; size <= end.size(); ++size) {
    WriteBytes(path_, whole + end.substr(0, size));
    auto file = OpenOrDie();
    EXPECT_EQ(file->rows(), 5);
    EXPECT_FALSE(file->finished().has_value());
    EXPECT_EQ(Contents(), whole) << size;
  }
  auto file = OpenOrDie();
  Write(file.get(), {8});
  ASSERT_TRUE(file->Finish().ok());
  EXPECT_EQ(RowsByArrow(), Sequence(8));
}

TEST_F(AttemptFileTest, AFinishedFileTakesNoMoreRowsAlsoAfterARestart) {
  AttemptFile::Sealable sealed;
  {
    auto file = OpenOrDie();
    Write(file.get(), {5});
    sealed = *file->Finish();
  }
  const std::string whole = Contents();
  auto file = OpenOrDie();
  ASSERT_TRUE(file->finished().has_value());
  EXPECT_EQ(file->rows(), 5);
  const auto messages = ToMessages({ImageBatch(5, 6)});
  const absl::Status status =
      file->Append(Bytes(messages[1].metadata), Bytes(messages[1].body), 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("use a new attempt"));
  EXPECT_EQ(file->Finish()->crc32c, sealed.crc32c);
  EXPECT_EQ(Contents(), whole);
}

TEST_F(AttemptFileTest, AFinishedFileThatIsDamagedIsNotTaken) {
  {
    auto file = OpenOrDie();
    Write(file.get(), {5});
    ASSERT_TRUE(file->Finish().ok());
  }
  std::string damaged = Contents();
  damaged[damaged.size() - 30] ^= 1;
  RowWidths widths;
  for (const std::string& bytes :
       {damaged, Contents().substr(0, Contents().size() - 8), std::string()}) {
    WriteBytes(path_, bytes);
    EXPECT_EQ(AttemptFile::Open(path_, ImageColumns(), &widths).status().code(),
              absl::StatusCode::kDataLoss);
  }
}

TEST_F(AttemptFileTest, RowsThatDoNotFitTheSpecAreDropped) {
  Write(OpenOrDie().get(), {5});
  RowWidths widths;
  auto file = AttemptFile::Open(path_, {{"other"}, "label"}, &widths);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->rows(), 0);
  EXPECT_EQ(Contents(), "");
}

TEST_F(AttemptFileTest, AFullDiskTakesNothingAndLosesNothing) {
  auto file = OpenOrDie();
  Write(file.get(), {5});
  const std::string whole = Contents();
  const auto messages = ToMessages({ImageBatch(5, 9)});
  {
    // Room for half of it.
    const FileLimit limit(whole.size() + 40);
    const absl::Status status =
        file->Append(Bytes(messages[1].metadata), Bytes(messages[1].body), 4);
    EXPECT_TRUE(IsDiskFull(status)) << status;
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("make room"));
  }
  EXPECT_EQ(file->rows(), 5);
  EXPECT_EQ(Contents(), whole);
  Write(file.get(), {9});
  const std::string more = Contents();
  {
    const FileLimit limit(more.size() + 4);
    EXPECT_TRUE(IsDiskFull(file->Finish().status()));
  }
  EXPECT_EQ(Contents(), more);
  const auto sealable = file->Finish();
  ASSERT_TRUE(sealable.ok()) << sealable.status();
  EXPECT_EQ(sealable->crc32c, Crc32c(Contents()));
  EXPECT_EQ(RowsByArrow(), Sequence(9));
}

TEST_F(AttemptFileTest, MessageBytesIsWhatAMessageTakes) {
  auto file = OpenOrDie();
  Write(file.get(), {5});
  const uint64_t before = file->size_bytes();
  const auto messages = ToMessages({ImageBatch(5, 9)});
  Write(file.get(), {9});
  EXPECT_EQ(file->size_bytes() - before,
            AttemptFile::MessageBytes(messages[1].metadata->size(),
                                      messages[1].body->size()));
}

}  // namespace
}  // namespace tfd::data
