#include "worker/chunk_tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tfd::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// a: 0 to 9, b: 10 to 29, none: nothing, c: 30; chunks of 16.
tensor::Layout SmallLayout() {
  tensor::LayoutParts parts;
  parts.members = {"worker/0"};
  parts.shards = {"ps/0"};
  parts.tensors = {{"a", {10}}, {"b", {4, 5}}, {"none", {0}}, {"c", {}}};
  parts.chunk_elements = 16;
  return *tensor::Layout::Build(parts);
}

std::vector<uint32_t> Done(ChunkTracker& tracker, size_t tensor) {
  std::vector<uint32_t> chunks;
  tracker.Done(tensor, [&](uint32_t chunk) { chunks.push_back(chunk); });
  return chunks;
}

TEST(ChunkTrackerTest, AChunkIsCompleteWithTheLastTensorInIt) {
  ChunkTracker tracker(SmallLayout());
  for (int step = 0; step < 2; ++step) {
    tracker.Reset();
    EXPECT_THAT(Done(tracker, 3), IsEmpty());
    EXPECT_THAT(Done(tracker, 2), IsEmpty());
    EXPECT_THAT(Done(tracker, 1), ElementsAre(1));
    EXPECT_THAT(Done(tracker, 0), ElementsAre(0));
  }
}

TEST(ChunkTrackerTest, ATensorThatEndsManyChunksGivesTheLastFirst) {
  ChunkTracker tracker(SmallLayout());
  Done(tracker, 0);
  Done(tracker, 3);
  EXPECT_THAT(Done(tracker, 1), ElementsAre(1, 0));
}

}  // namespace
}  // namespace tfd::worker
