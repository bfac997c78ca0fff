#include "worker/model_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "common/testing/temp_folder.h"
#include "tests/worker/worker_testing.h"

namespace tfd::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelDescription Example() {
  ModelDescription description;
  description.job = "mnist-x1";
  description.generation = 3;
  description.step = 938;
  description.input = {1, 28, 28};
  description.source_dtype = "uint8";
  description.classes = 10;
  description.preprocess.resize(2);
  description.preprocess[0].set_scale(1.0 / 255);
  description.preprocess[1].mutable_normalise()->set_mean(0.13);
  description.preprocess[1].mutable_normalise()->set_std(0.31);
  description.metrics["accuracy"] = 0.991;
  return description;
}

std::string MessageOf(const std::string& text) {
  return std::string(
      ParseModelDescription(text, "here/model.json").status().message());
}

TEST(ModelFileTest, WhatIsWrittenIsRead) {
  const ModelDescription example = Example();
  const ModelDescription read =
      Must(ParseModelDescription(ToJson(example), "model.json"));
  EXPECT_EQ(read.job, example.job);
  EXPECT_EQ(read.generation, 3u);
  EXPECT_EQ(read.step, 938);
  EXPECT_THAT(read.input, ElementsAre(1, 28, 28));
  EXPECT_EQ(read.classes, 10);
  ASSERT_EQ(read.preprocess.size(), 2u);
  EXPECT_EQ(read.preprocess[0].scale(), 1.0 / 255);
  EXPECT_EQ(read.preprocess[1].normalise().std(), 0.31);
  EXPECT_EQ(read.metrics, example.metrics);
}

TEST(ModelFileTest, WhatIsWrongIsNamed) {
  const std::string good = ToJson(Example());
  EXPECT_THAT(MessageOf("no json"), HasSubstr("here/model.json"));
  EXPECT_THAT(MessageOf("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(MessageOf(absl::StrReplaceAll(
                  good, {{"\"classes\": 10", "\"classes\": \"x\""}})),
              HasSubstr("classes is \"x\""));
  EXPECT_THAT(
      MessageOf(absl::StrReplaceAll(good, {{"\"inputs\"", "\"inputz\""}})),
      HasSubstr("inputs is missing"));
  EXPECT_THAT(MessageOf(absl::StrReplaceAll(good, {{"\"scale\"", "\"blur\""}})),
              HasSubstr("blur"));
  EXPECT_THAT(MessageOf(absl::StrReplaceAll(
                  good, {{"\"format_version\": 1", "\"format_version\": 9"}})),
              HasSubstr("newer tfd"));
  EXPECT_THAT(MessageOf(absl::StrReplaceAll(good, {{"28", "-28"}})),
              HasSubstr("below 1"));
}

TEST(ModelFileTest, AnExportIsFoundByItsFolderItsFileOrItsStorage) {
  const testing::TempFolder folder;
  const std::string place = folder / "export";
  ASSERT_EQ(LocalFileSystem()->CreateFolder(place), absl::OkStatus());
  EXPECT_EQ(FindExport(place).status().code(), absl::StatusCode::kNotFound);
  data::WriteBytes(place + "/model.json", "{}");
  for (const std::string& path :
       {folder.path(), place, place + "/model.json"}) {
    EXPECT_EQ(Must(FindExport(path)).path, place);
  }
}

}  // namespace
}  // namespace tfd::worker
