#include "common/nearest_name.h"

#include <gtest/gtest.h>

#include <string>

namespace tfd {
namespace {

TEST(NearestNameTest, DistanceCountsInsertsDeletesReplacesAndSwaps) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("abc", ""), 3);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("teh", "the"), 1);
  EXPECT_EQ(EditDistance("abcd", "badc"), 2);
}

TEST(NearestNameTest, FindsTheSlipOfThePen) {
  const std::vector<std::string> known = {"train-images", "train-labels",
                                          "test-images"};
  EXPECT_EQ(NearestName("train-image", known), "train-images");
  EXPECT_EQ(NearestName("TRAIN-LABELS", known), "train-labels");
  EXPECT_EQ(NearestName("tset-images", known), "test-images");
}

TEST(NearestNameTest, SaysNothingWhereNothingIsNear) {
  EXPECT_EQ(NearestName("validation", {"train", "test"}), "");
  EXPECT_EQ(NearestName("x", {}), "");
  EXPECT_EQ(NearestName(std::string(100000, 'x'), {"x"}), "");
}

}  // namespace
}  // namespace tfd
