#include "ps/snapshot.h"

#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "common/fs/file_system.h"
#include "common/testing/temp_folder.h"

namespace tfd::ps {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(30);

// The local file system, on a disk that does not answer until it is told to.
class SlowFileSystem : public FileSystem {
 public:
  absl::Notification go_on;

  absl::StatusOr<std::unique_ptr<WritableFile>> OpenForWriting(
      const std::string& path) override {
    go_on.WaitForNotificationWithTimeout(kTimeout);
    return LocalFileSystem()->OpenForWriting(path);
  }
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenForReading(
      const std::string& path) override {
    return LocalFileSystem()->OpenForReading(path);
  }
  absl::StatusOr<FileInfo> Stat(const std::string& path) override {
    return LocalFileSystem()->Stat(path);
  }
  absl::StatusOr<std::vector<FileInfo>> List(const std::string& path) override {
    return LocalFileSystem()->List(path);
  }
  absl::Status CreateFolder(const std::string& path) override {
    return LocalFileSystem()->CreateFolder(path);
  }
  absl::Status Delete(const std::string& path) override {
    return LocalFileSystem()->Delete(path);
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    return LocalFileSystem()->Rename(from, to);
  }
};

// Two chunks of four elements.
tensor::Layout TwoChunks() {
  tensor::LayoutParts parts;
  parts.members = {"worker/0"};
  parts.shards = {"ps/0"};
  parts.tensors = {{"w", {8}}};
  parts.chunk_elements = 4;
  return *tensor::Layout::Build(parts);
}

ChunkSnapshot Snapshot(const tensor::Layout& layout, uint32_t chunk) {
  ChunkSnapshot snapshot;
  snapshot.range = layout.ChunkRange(chunk);
  snapshot.parameters = ParameterRef::Allocate(
      std::make_shared<ParameterPool>(0, /*shared=*/false), 4);
  for (float& value : snapshot.parameters.BeginWrite().floats) {
    value = static_cast<float>(chunk);
  }
  snapshot.updates = 7 + chunk;
  return snapshot;
}

TEST(SnapshotTest, AStepIsWrittenOnceAllItsChunksAreThere) {
  testing::TempFolder folder;
  const tensor::CheckpointStore store(LocalFileSystem(), folder.path());
  const tensor::Layout layout = TwoChunks();
  std::vector<int64_t> saved;
  {
    SnapshotWriter writer({}, layout, &store,
                          [&](int64_t step, const auto& file) {
                            EXPECT_TRUE(file.ok()) << file.status();
                            saved.push_back(step);
                          });
    writer.Add(5, Snapshot(layout, 1));
    writer.Add(5, Snapshot(layout, 0));
    // Not all of it: a training that was stopped here.
    writer.Add(10, Snapshot(layout, 0));
  }
  EXPECT_EQ(saved, std::vector<int64_t>{5});
  auto file = LocalFileSystem()->OpenForReading(store.Folder(5, 0) +
                                                "/shard-0.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  const auto reader = tensor::SafetensorsReader::Open(*std::move(file), "s");
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<float> values(4);
  ASSERT_TRUE(
      reader->ReadFloats(**reader->Find("w[4:8]"), 0, absl::MakeSpan(values))
          .ok());
  EXPECT_EQ(values, std::vector<float>(4, 1));
  EXPECT_EQ(reader->metadata().at("tfd.updates"), "8");
}

TEST(SnapshotTest, ASlowDiskHoldsAnswersBackAndLosesNone) {
  testing::TempFolder folder;
  SlowFileSystem slow;
  const tensor::CheckpointStore store(&slow, folder.path());
  const tensor::Layout layout = TwoChunks();
  absl::Mutex mutex;
  std::vector<int64_t> answered;
  std::vector<int64_t> saved;
  SnapshotWriterOptions options;
  options.max_waiting = 1;
  {
    SnapshotWriter writer(options, layout, &store,
                          [&](int64_t step, const auto& file) {
                            EXPECT_TRUE(file.ok()) << file.status();
                            absl::MutexLock lock(&mutex);
                            saved.push_back(step);
                          });
    for (int64_t step = 1; step <= 4; ++step) {
      writer.WhenThereIsRoom(step, [&, step] {
        absl::MutexLock lock(&mutex);
        answered.push_back(step);
      });
      for (uint32_t chunk = 0; chunk < 2; ++chunk) {
        writer.Add(step, Snapshot(layout, chunk));
      }
    }
    {
      absl::MutexLock lock(&mutex);
      // One before it may wait; from the third step on it is too many.
      EXPECT_EQ(answered, (std::vector<int64_t>{1, 2}));
    }
    slow.go_on.Notify();
    absl::MutexLock lock(&mutex);
    const auto all = [&] { return answered.size() == 4; };
    EXPECT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&all), kTimeout));
  }
  EXPECT_EQ(saved, (std::vector<int64_t>{1, 2, 3, 4}));
}

TEST(SnapshotTest, AFileThatCannotBeWrittenIsToldWithItsStep) {
  testing::TempFolder folder;
  const tensor::CheckpointStore store(LocalFileSystem(), folder.path());
  ASSERT_TRUE(
      WriteFileAtomically(*LocalFileSystem(), folder / "checkpoints", "x")
          .ok());
  const tensor::Layout layout = TwoChunks();
  absl::Status status;
  {
    SnapshotWriter writer({}, layout, &store,
                          [&](int64_t step, const auto& file) {
                            EXPECT_EQ(step, 5);
                            status = file.status();
                          });
    writer.Add(5, Snapshot(layout, 0));
    writer.Add(5, Snapshot(layout, 1));
  }
  EXPECT_FALSE(status.ok());
}

}  // namespace
}  // namespace tfd::ps
