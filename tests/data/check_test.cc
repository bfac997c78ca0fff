#include "data/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/testing/temp_folder.h"
#include "tests/data/idx_files.h"

namespace tfd::data {
namespace {

using ::testing::HasSubstr;

TEST(CheckTest, SaysWhatADatasetIs) {
  const testing::TempFolder folder;
  WriteImages(folder / "images", folder / "labels", 20);
  const nlohmann::json spec = {{"format", "IDX"},
                               {"features", folder / "images"},
                               {"labels", folder / "labels"}};
  const auto answer = CheckDataset(spec.dump());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(nlohmann::json::parse(*answer),
            nlohmann::json({{"records", 20},
                            {"shape", {2, 3}},
                            {"dtype", "uint8"},
                            {"labels", {{"smallest", 0}, {"largest", 9}}}}));
}

TEST(CheckTest, PushedDataHasItsColumns) {
  const auto answer =
      CheckDataset(R"({"format": "PUSHED", "columns": {"features": "image"}})");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(
      nlohmann::json::parse(*answer),
      nlohmann::json(
          {{"pushed", true}, {"features", {"image"}}, {"label", "label"}}));
}

TEST(CheckTest, SaysWhatIsWrong) {
  EXPECT_THAT(std::string(CheckDataset("{").status().message()),
              HasSubstr("no tfd.v1.DatasetSpec in JSON"));
  EXPECT_THAT(
      std::string(CheckDataset(R"({"fromat": "IDX"})").status().message()),
      HasSubstr("fromat"));
  EXPECT_EQ(CheckDataset(R"({"format": "CSV", "path": "/nowhere/a.csv"})")
                .status()
                .code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tfd::data
