#include "data/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/testing/temp_folder.h"
#include "data/ipc_file.h"
#include "data/parquet_file.h"
#include "data/tfrecord_file.h"
#include "tests/data/arrow_messages.h"
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

TEST(CheckTest, LabelsThatTheSpecNamesHaveToBeThere) {
  const testing::TempFolder folder;
  WriteBytes(folder / "a.csv", "x,y\n1,2\n");
  nlohmann::json spec = {{"format", "CSV"}, {"path", folder / "a.csv"}};
  const auto answer = CheckDataset(spec.dump());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_FALSE(nlohmann::json::parse(*answer).contains("labels"));
  spec["columns"] = {{"label", "z"}};
  EXPECT_THAT(std::string(CheckDataset(spec.dump()).status().message()),
              HasSubstr("has no column \"z\""));
}

TEST(CheckTest, TablesAreDatasets) {
  const testing::TempFolder folder;
  const auto batch = ImageBatch(0, 20);
  const auto write = [&](auto writer) {
    return writer.ok() && (*writer)->Write(*batch).ok() &&
           (*writer)->Finish().ok();
  };
  ASSERT_TRUE(write(CreateParquet(folder / "a.parquet", batch->schema())));
  ASSERT_TRUE(write(CreateIpcFile(folder / "a.arrow", batch->schema())));
  ASSERT_TRUE(write(CreateTfRecord(folder / "a.tfrecord", batch->schema())));
  for (const auto& [format, path] :
       {std::make_pair("PARQUET", folder / "a.parquet"),
        std::make_pair("ARROW", folder / "a.arrow"),
        std::make_pair("TFRECORD", folder / "a.tfrecord")}) {
    const nlohmann::json spec = {
        {"format", format}, {"path", path}, {"columns", {{"label", "label"}}}};
    const auto answer = CheckDataset(spec.dump());
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(nlohmann::json::parse(*answer),
              nlohmann::json({{"records", 20},
                              {"shape", {6}},
                              {"dtype", "uint8"},
                              {"labels", {{"smallest", 0}, {"largest", 9}}}}));
  }
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
