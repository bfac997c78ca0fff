#include "daemon/coordinator/codec/action_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tfd::coordinator {
namespace {

using ::testing::HasSubstr;

std::string WhatIsWrong(const std::string& type, const std::string& body) {
  const absl::StatusOr<DatasetAction> action = DecodeAction(type, body);
  EXPECT_TRUE(absl::IsInvalidArgument(action.status())) << action.status();
  return std::string(action.status().message());
}

TEST(ActionCodec, ACommitNamesItsPartitions) {
  const absl::StatusOr<DatasetAction> action = DecodeAction(
      "commit",
      R"({"job": "j", "dataset": "train", "producer": "p", "partitions":
          [{"partition": "0", "attempt": "a", "rows": 60}]})");
  ASSERT_TRUE(action.ok()) << action.status();
  EXPECT_EQ(action->kind, ActionKind::kCommit);
  EXPECT_EQ(action->key.job, "j");
  EXPECT_EQ(action->key.producer, "p");
  ASSERT_EQ(action->partitions.size(), 1u);
  EXPECT_EQ(action->partitions[0].attempt, "a");
  EXPECT_EQ(action->partitions[0].rows, 60);
}

TEST(ActionCodec, StatusNeedsNoProducer) {
  EXPECT_TRUE(DecodeAction("status", R"({"job": "j", "dataset": "d"})").ok());
  EXPECT_THAT(WhatIsWrong("begin", R"({"job": "j", "dataset": "d"})"),
              HasSubstr("\"producer\" is missing"));
}

TEST(ActionCodec, SaysWhatIsWrongAndHowItShouldBe) {
  EXPECT_THAT(WhatIsWrong("remove", "{}"),
              HasSubstr("begin, commit, abort, status"));
  EXPECT_THAT(WhatIsWrong("begin", "{job"), HasSubstr("no JSON object"));
  EXPECT_THAT(WhatIsWrong("begin", "[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(WhatIsWrong("begin", R"({"job": 7})"),
              HasSubstr("\"job\" is number, it must be a string"));
  const std::string head = R"({"job": "j", "dataset": "d", "producer": "p", )";
  EXPECT_THAT(WhatIsWrong("commit", head + R"("partitions": 7})"),
              HasSubstr("must be an array"));
  EXPECT_THAT(WhatIsWrong("commit", head + R"("partitions": [7]})"),
              HasSubstr("must be an object"));
  EXPECT_THAT(
      WhatIsWrong("commit",
                  head + R"("partitions": [{"partition": "0", "attempt": "a",
                     "rows": -1}]})"),
      HasSubstr("\"rows\" of partition 0 must be a count"));
}

TEST(ActionCodec, ADatasetIsToldAsJson) {
  Dataset dataset;
  dataset.name = "train";
  dataset.producers["p"].partitions["0"] = {"a", 60, 5, "feed/0", "/x"};
  const std::string json = EncodeDatasetJson(dataset, std::nullopt);
  EXPECT_THAT(json, HasSubstr("\"complete\":false"));
  EXPECT_THAT(json, HasSubstr("\"rows\":\"60\""));
  EXPECT_THAT(json, HasSubstr("\"attempt\":\"a\""));
}

}  // namespace
}  // namespace tfd::coordinator
