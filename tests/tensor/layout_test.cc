#include "tensor/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace tfd::tensor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

LayoutParts Parts() {
  LayoutParts parts;
  parts.members = {"worker/0", "worker/1"};
  parts.shards = {"ps/0", "ps/1"};
  parts.tensors = {{"a", {3, 4}}, {"none", {0}}, {"b", {}}, {"c", {7}}};
  parts.chunk_elements = 6;
  return parts;
}

Layout Make(const LayoutParts& parts) {
  absl::StatusOr<Layout> layout = Layout::Build(parts);
  EXPECT_TRUE(layout.ok()) << layout.status();
  return *std::move(layout);
}

TEST(LayoutTest, ChunksCutTheFlatKeySpace) {
  const Layout layout = Make(Parts());
  EXPECT_EQ(layout.elements(), 20u);
  EXPECT_EQ(layout.chunks(), 4u);
  EXPECT_EQ(layout.ChunkRange(0).begin, 0u);
  EXPECT_EQ(layout.ChunkRange(3).begin, 18u);
  EXPECT_EQ(layout.ChunkRange(3).end, 20u);
  EXPECT_THAT(layout.ChunksOf(0), ElementsAre(0, 2));
  EXPECT_THAT(layout.ChunksOf(1), ElementsAre(1, 3));
  EXPECT_EQ(layout.ShardOf(3), 1u);
  EXPECT_EQ(layout.ChunksOfTensor(0), std::pair(0u, 1u));
  EXPECT_EQ(layout.ChunksOfTensor(1), std::pair(1u, 0u));
  EXPECT_EQ(layout.ChunksOfTensor(3), std::pair(2u, 3u));
}

TEST(LayoutTest, PiecesCoverARangeOnceAndInOrder) {
  const Layout layout = Make(Parts());
  for (uint64_t begin = 0; begin <= layout.elements(); ++begin) {
    for (uint64_t end = begin; end <= layout.elements(); ++end) {
      uint64_t next = begin;
      for (const TensorPiece& piece : layout.Pieces({begin, end})) {
        EXPECT_EQ(layout.tensor(piece.tensor).begin() + piece.begin, next);
        EXPECT_EQ(piece.offset, next - begin);
        EXPECT_GT(piece.elements(), 0u);
        next += piece.elements();
      }
      EXPECT_EQ(next, end);
    }
  }
  EXPECT_EQ(PieceName(layout.tensor(0), 0, 12), "a");
  EXPECT_EQ(PieceName(layout.tensor(0), 6, 12), "a[6:12]");
}

TEST(LayoutTest, ASmallTotalIsAllInTheFirstShard) {
  LayoutParts parts = Parts();
  parts.shards = {"ps/0", "ps/1"};
  parts.tensors = {{"w", {64 * 1024 / sizeof(float)}}};
  parts.chunk_elements = 1 << 18;
  const Layout small = Make(parts);
  EXPECT_THAT(small.group().shards(), ElementsAre("ps/0"));
  EXPECT_EQ(small.chunks(), 1u);
  // Whoever asks for smaller chunks has a reason.
  parts.chunk_elements /= 32;
  EXPECT_EQ(Make(parts).shards(), 2u);
  parts.chunk_elements = 1 << 18;
  ++parts.tensors[0].shape[0];
  EXPECT_EQ(Make(parts).shards(), 2u);
}

TEST(LayoutTest, AModelOfFewChunksStillGivesEveryShardOne) {
  const int64_t one_shard = 64 * 1024 / sizeof(float);
  for (int64_t elements = one_shard + 1; elements < one_shard + 40;
       ++elements) {
    for (size_t shards = 1; shards < 9; ++shards) {
      LayoutParts parts = Parts();
      parts.tensors = {{"w", {elements}}};
      parts.shards.assign(shards, "");
      for (size_t i = 0; i < shards; ++i) {
        parts.shards[i] = "ps/" + std::to_string(i);
      }
      parts.chunk_elements = 1 << 18;
      const Layout layout = Make(parts);
      EXPECT_GE(layout.chunks(), shards);
      EXPECT_FALSE(layout.ChunksOf(static_cast<uint32_t>(shards) - 1).empty());
    }
  }
}

TEST(LayoutTest, SlotsAreNamedByMembers) {
  const Layout layout = Make(Parts());
  EXPECT_EQ(*layout.SlotOf("worker/1"), 1u);
  EXPECT_THAT(std::string(layout.SlotOf("worker/7").status().message()),
              HasSubstr("worker/0, worker/1"));
}

TEST(LayoutTest, BuffersAreTheLastTensors) {
  EXPECT_EQ(Make(Parts()).buffers_begin(), 20u);
  LayoutParts parts = Parts();
  parts.buffers = 1;
  const Layout layout = Make(parts);
  EXPECT_EQ(layout.buffers_begin(), 13u);
  EXPECT_EQ(Layout::FromProto(layout.ToProto(5), 5)->buffers_begin(), 13u);
  for (const size_t too_many : {4, 5}) {
    parts.buffers = too_many;
    EXPECT_THAT(std::string(Layout::Build(parts).status().message()),
                HasSubstr("layout.buffers_begin: all 4 tensors are buffers"));
  }
}

TEST(LayoutTest, SurvivesTheWire) {
  const Layout layout = Make(Parts());
  const auto again = Layout::FromProto(layout.ToProto(5), 5);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->Fingerprint(), layout.Fingerprint());
  EXPECT_EQ(again->DescribeDifference(layout), "");
  EXPECT_EQ(Layout::FromProto(layout.ToProto(5), 6).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(LayoutTest, AnyDifferenceChangesTheFingerprintAndIsNamed) {
  const Layout layout = Make(Parts());
  const std::vector<std::pair<std::function<void(LayoutParts&)>, std::string>>
      cases = {
          {[](auto& p) { p.chunk_elements = 5; }, "chunk_elements: 6 against"},
          {[](auto& p) { p.members.pop_back(); }, "members: worker/0, worker/"},
          {[](auto& p) {
             p.shards = {"ps/1", "ps/0"};
           },
           "shards: ps/0, ps/1"},
          {[](auto& p) {
             p.tensors[0].shape = {4, 3};
           },
           "tensors[0] is a [3,"},
          {[](auto& p) { p.tensors[3].name = "d"; }, "tensors[3] is c [7]"},
          {[](auto& p) { p.group = "other"; }, "name: dense against other"},
          {[](auto& p) { p.buffers = 2; }, "buffers_begin: 20 against 12"}};
  for (const auto& [change, words] : cases) {
    LayoutParts parts = Parts();
    change(parts);
    const Layout other = Make(parts);
    EXPECT_NE(other.Fingerprint(), layout.Fingerprint()) << words;
    EXPECT_THAT(layout.DescribeDifference(other), HasSubstr(words));
  }
}

TEST(LayoutTest, WhatIsNoGaplessKeySpaceIsRefusedByField) {
  using Change = std::function<void(v1::LayoutGroup&)>;
  const std::vector<std::pair<Change, std::string>> cases = {
      {[](auto& g) { g.set_chunk_elements(0); }, "chunk_elements: 0"},
      {[](auto& g) { g.set_chunk_elements(1u << 30); }, "chunk_elements"},
      {[](auto& g) { g.clear_members(); }, "members: is empty"},
      {[](auto& g) { g.set_members(1, "worker/0"); }, "members[1]: worker/0"},
      {[](auto& g) { g.clear_shards(); }, "shards: is empty"},
      {[](auto& g) { g.set_chunk_elements(20); }, "shards: there are 2"},
      {[](auto& g) { g.clear_tensors(); }, "tensors: the model has no"},
      {[](auto& g) { g.mutable_tensors(3)->set_begin(14); },
       "tensors[3].begin: 14"},
      {[](auto& g) { g.mutable_tensors(0)->set_elements(11); },
       "tensors[0].elements: 11"},
      {[](auto& g) { g.mutable_tensors(3)->set_name("a"); },
       "tensors[3].name: a is listed twice"},
      {[](auto& g) { g.mutable_tensors(3)->clear_name(); },
       "tensors[3].name: is empty"},
      {[](auto& g) { g.mutable_tensors(0)->set_shape(0, -3); },
       "tensors[0].shape: [-3, 4] has a negative"},
      {[](auto& g) {
         g.mutable_tensors(0)->set_shape(
             0, std::numeric_limits<int64_t>::max() / 2);
       },
       "tensors[0].shape"},
      {[](auto& g) { g.set_buffers_begin(21); },
       "buffers_begin: 21 is beyond the 20"},
      {[](auto& g) { g.set_buffers_begin(14); },
       "buffers_begin: 14 is inside of a tensor"},
      {[](auto& g) { g.set_buffers_begin(0); }, "buffers_begin: 0"}};
  for (const auto& [change, words] : cases) {
    v1::LayoutGroup group = Make(Parts()).group();
    change(group);
    const absl::Status status = Layout::FromGroup(group).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << words;
    EXPECT_THAT(std::string(status.message()), HasSubstr("layout." + words));
  }
}

}  // namespace
}  // namespace tfd::tensor
