#include "tensor/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "common/testing/temp_folder.h"

namespace tfd::tensor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Layout MakeLayout(int shards, uint64_t chunk_elements) {
  LayoutParts parts;
  parts.members = {"worker/0"};
  for (int i = 0; i < shards; ++i) {
    parts.shards.push_back("ps/" + std::to_string(i));
  }
  parts.tensors = {{"conv.weight", {5, 3, 2}},
                   {"none", {0}},
                   {"conv.bias", {5}},
                   {"fc.weight", {9, 7}},
                   {"scale", {}}};
  parts.chunk_elements = chunk_elements;
  return *Layout::Build(parts);
}

class CheckpointTest : public ::testing::Test {
 protected:
  // Element i of the parameters is i + offset, of adam.m 1000 + i, …
  static std::vector<float> Flat(const Layout& layout, float offset) {
    std::vector<float> values(layout.elements());
    std::iota(values.begin(), values.end(), offset);
    return values;
  }

  v1::CheckpointRef Save(const Layout& layout, int64_t step,
                         uint64_t generation = 1) {
    const std::vector<float> parameters =
        Flat(layout, static_cast<float>(step));
    const std::vector<float> m = Flat(layout, 1000);
    const std::vector<float> v = Flat(layout, 2000);
    v1::CheckpointManifest manifest;
    manifest.set_format_version(kManifestVersion);
    manifest.set_job("mnist");
    manifest.set_generation(generation);
    manifest.set_step(step);
    manifest.set_slots(1);
    manifest.set_optimizer("adam");
    *manifest.mutable_tensors() = layout.group().tensors();
    for (uint32_t s = 0; s < layout.shards(); ++s) {
      ShardToSave shard;
      shard.shard = s;
      shard.step = step;
      shard.updates = static_cast<uint64_t>(step);
      shard.state_names = {"adam.m", "adam.v"};
      for (const uint32_t chunk : layout.ChunksOf(s)) {
        const FlatRange range = layout.ChunkRange(chunk);
        const auto part = [&](const std::vector<float>& values) {
          return absl::MakeSpan(values).subspan(range.begin, range.elements());
        };
        shard.chunks.push_back({range, part(parameters), {part(m), part(v)}});
      }
      const auto file = store_.WriteShard(layout.group(), generation, shard);
      EXPECT_TRUE(file.ok()) << file.status();
      *manifest.add_shards() = *file;
    }
    const auto ref = store_.WriteManifest(manifest);
    EXPECT_TRUE(ref.ok()) << ref.status();
    return *ref;
  }

  void Commit(const std::vector<v1::CheckpointRef>& refs) {
    v1::CommittedIndex index;
    index.set_job("mnist");
    for (const v1::CheckpointRef& ref : refs) *index.add_checkpoints() = ref;
    ASSERT_TRUE(store_.WriteCommitted(index).ok());
  }

  // Changes one byte in the middle of a file.
  static void Damage(const std::string& path) {
    std::string bytes = *ReadFile(*LocalFileSystem(), path);
    bytes[bytes.size() / 2] ^= 1;
    ASSERT_TRUE(WriteFileAtomically(*LocalFileSystem(), path, bytes).ok());
  }

  testing::TempFolder folder_;
  CheckpointStore store_{LocalFileSystem(), folder_.path()};
};

TEST_F(CheckpointTest, FoldersAreNamedByStepAndGeneration) {
  EXPECT_EQ(CheckpointFolderName(500, 1), "s00000500-g1");
  EXPECT_EQ(CheckpointFolderName(123456789, 12), "s123456789-g12");
  EXPECT_EQ(store_.Folder(500, 1),
            folder_.path() + "/checkpoints/s00000500-g1");
}

TEST_F(CheckpointTest, EveryRangeIsReadBackWhateverTheShards) {
  for (const auto& [shards, chunk] :
       {std::pair(1, 1000), std::pair(1, 8), std::pair(3, 11)}) {
    const Layout layout = MakeLayout(shards, chunk);
    const auto reader = store_.OpenCheckpoint(Save(layout, 40 + shards));
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ(reader->elements(), layout.elements());
    EXPECT_EQ(reader->updates(), 40u + shards);
    EXPECT_THAT(reader->StateNames(), ElementsAre("adam.m", "adam.v"));
    for (uint64_t begin = 0; begin <= layout.elements(); begin += 3) {
      for (uint64_t end = begin; end <= layout.elements(); end += 5) {
        std::vector<float> out(end - begin, -1);
        ASSERT_TRUE(
            reader->ReadParameters({begin, end}, absl::MakeSpan(out)).ok());
        for (size_t i = 0; i < out.size(); ++i) {
          ASSERT_EQ(out[i], static_cast<float>(40 + shards + begin + i));
        }
        ASSERT_TRUE(
            reader->ReadState("adam.v", {begin, end}, absl::MakeSpan(out))
                .ok());
        for (size_t i = 0; i < out.size(); ++i) {
          ASSERT_EQ(out[i], static_cast<float>(2000 + begin + i));
        }
      }
    }
    std::vector<float> out(1);
    const absl::Status status =
        reader->ReadState("sgd.momentum", {0, 1}, absl::MakeSpan(out));
    EXPECT_THAT(std::string(status.message()), HasSubstr("adam.m, adam.v"));
    EXPECT_FALSE(
        reader
            ->ReadParameters({layout.elements(), layout.elements() + 1},
                             absl::MakeSpan(out))
            .ok());
  }
}

TEST_F(CheckpointTest, TensorsAreNamedWholeOrByPiece) {
  const v1::CheckpointRef ref = Save(MakeLayout(1, 20), 3);
  auto file =
      LocalFileSystem()->OpenForReading(ref.uri() + "/shard-0.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  const auto reader = SafetensorsReader::Open(*std::move(file), "shard");
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_TRUE(reader->Find("conv.weight[0:20]").ok());
  EXPECT_TRUE(reader->Find("conv.weight[20:30]").ok());
  EXPECT_EQ((*reader->Find("conv.bias"))->shape, std::vector<int64_t>{5});
  EXPECT_TRUE(reader->Find("adam.m/conv.weight[20:30]").ok());
  EXPECT_TRUE(reader->Find("adam.v/scale").ok());
  EXPECT_EQ((*reader->Find("scale"))->shape, std::vector<int64_t>{});
}

TEST_F(CheckpointTest, TheNewestIntactOneIsUsedAndDamagedOnesAreNamed) {
  const Layout layout = MakeLayout(2, 16);
  std::vector<std::string> problems;
  auto newest = store_.NewestIntact(&problems);
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_FALSE(newest->has_value());

  const std::vector<v1::CheckpointRef> refs = {
      Save(layout, 100), Save(layout, 200), Save(layout, 300),
      Save(layout, 400)};
  Save(layout, 500);  // never committed
  Commit(refs);
  newest = store_.NewestIntact(&problems);
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_EQ((*newest)->step(), 400);
  EXPECT_TRUE(problems.empty());

  Damage(refs[3].uri() + "/shard-1.safetensors");
  Damage(refs[2].uri() + "/manifest.json");
  newest = store_.NewestIntact(&problems);
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_EQ((*newest)->step(), 200);
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_THAT(problems[0], AllOf(HasSubstr("step 400"),
                                 HasSubstr("shard-1.safetensors is damaged")));
  EXPECT_THAT(problems[1], AllOf(HasSubstr("step 300"),
                                 HasSubstr("manifest.json is damaged")));

  std::filesystem::resize_file(refs[1].uri() + "/shard-0.safetensors", 100);
  std::filesystem::remove(refs[0].uri() + "/shard-0.safetensors");
  problems.clear();
  newest = store_.NewestIntact(&problems);
  EXPECT_EQ(newest.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(problems.size(), 4u);
}

TEST_F(CheckpointTest, AStorageFolderMayBeMoved) {
  Commit({Save(MakeLayout(2, 16), 100)});
  const std::string moved = folder_.path() + "/elsewhere";
  std::filesystem::create_directory(moved);
  std::filesystem::rename(folder_.path() + "/checkpoints",
                          moved + "/checkpoints");
  const CheckpointStore store(LocalFileSystem(), moved);
  std::vector<std::string> problems;
  const auto newest = store.NewestIntact(&problems);
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_EQ((*newest)->step(), 100);
}

TEST_F(CheckpointTest, AManifestThatLiesIsRefused) {
  const Layout layout = MakeLayout(1, 16);
  const v1::CheckpointRef ref = Save(layout, 100);
  const v1::CheckpointManifest good = *store_.ReadManifest(ref);
  using Change = std::function<void(v1::CheckpointManifest&)>;
  const std::vector<std::pair<Change, std::string>> cases = {
      {[](auto& m) { m.set_format_version(9); }, "format_version is 9"},
      {[](auto& m) { m.clear_shards(); }, "shards is empty"},
      {[](auto& m) { m.mutable_shards(0)->set_file("../../secret"); },
       "../../secret is no name"},
      {[](auto& m) { m.mutable_tensors(0)->set_elements(7); }, "tensors[0]"},
      {[](auto& m) { m.mutable_tensors(0)->set_begin(7); }, "tensors[0]"}};
  for (const auto& [change, words] : cases) {
    v1::CheckpointManifest manifest = good;
    change(manifest);
    EXPECT_THAT(std::string(store_.WriteManifest(manifest).status().message()),
                HasSubstr(words));
  }
  // Valid by itself, but of other tensors than the shard's file.
  v1::CheckpointManifest other = good;
  other.mutable_tensors(0)->set_name("renamed");
  const auto lying = store_.WriteManifest(other);
  ASSERT_TRUE(lying.ok()) << lying.status();
  EXPECT_THAT(std::string(store_.OpenCheckpoint(*lying).status().message()),
              HasSubstr("conv.weight[0:16] is no tensor of the manifest"));
}

TEST_F(CheckpointTest, MissingAndDoubledPiecesAreFound) {
  const Layout layout = MakeLayout(2, 16);
  const v1::CheckpointRef ref = Save(layout, 100);
  v1::CheckpointManifest manifest = *store_.ReadManifest(ref);
  const v1::ShardFile second = manifest.shards(1);
  manifest.mutable_shards()->RemoveLast();
  EXPECT_THAT(std::string(store_.OpenCheckpoint(*store_.WriteManifest(manifest))
                              .status()
                              .message()),
              HasSubstr("parameters are incomplete: elements from 16"));
  *manifest.add_shards() = second;
  *manifest.add_shards() = second;
  EXPECT_THAT(std::string(store_.OpenCheckpoint(*store_.WriteManifest(manifest))
                              .status()
                              .message()),
              HasSubstr("is there twice"));
}

TEST_F(CheckpointTest, DeletingStaysInsideTheStorage) {
  const v1::CheckpointRef old = Save(MakeLayout(1, 16), 100);
  const v1::CheckpointRef kept = Save(MakeLayout(1, 16), 200);
  ASSERT_TRUE(store_.DeleteCheckpoint(old).ok());
  EXPECT_FALSE(std::filesystem::exists(old.uri()));
  EXPECT_TRUE(std::filesystem::exists(kept.uri()));
  for (const std::string uri : {"", "/", "/etc", folder_.path().c_str(),
                                "s1-g1x", "../s00000100-g1/..", "s100-g1"}) {
    v1::CheckpointRef bad;
    bad.set_uri(uri);
    EXPECT_EQ(store_.DeleteCheckpoint(bad).code(),
              absl::StatusCode::kInvalidArgument)
        << uri;
  }
  Commit({kept});
  ASSERT_TRUE(store_.DeleteAll().ok());
  EXPECT_EQ(store_.ReadCommitted().status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(kept.uri()));
}

}  // namespace
}  // namespace tfd::tensor
