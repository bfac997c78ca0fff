#include "data/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/testing/temp_folder.h"
#include "tests/data/idx_files.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CsvTest : public ::testing::Test {
 protected:
  CsvTest() {
    spec_.set_format(v1::DatasetSpec::CSV);
    spec_.set_path(folder_ / "data.csv");
    (*spec_.mutable_columns())["label"] = "label";
  }

  void Write(const std::string& text) { WriteBytes(spec_.path(), text); }
  absl::StatusOr<std::unique_ptr<Dataset>> Open() {
    return OpenDataset(spec_, Preprocess(data_), options_);
  }
  std::string OpenError() { return std::string(Open().status().message()); }
  // All features of all records, in order.
  std::vector<float> Features() {
    auto dataset = Open();
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    if (!dataset.ok()) return {};
    std::vector<uint64_t> records((*dataset)->info().records);
    for (size_t i = 0; i < records.size(); ++i) records[i] = i;
    EXPECT_TRUE((*dataset)->ReadBatch(records, &batch_).ok());
    return {batch_.features(),
            batch_.features() + batch_.size() * batch_.elements()};
  }
  std::vector<int64_t> LabelsRead() {
    return {batch_.labels(), batch_.labels() + batch_.size()};
  }

  testing::TempFolder folder_;
  v1::DatasetSpec spec_;
  v1::DataSpec data_;
  OpenOptions options_;
  Batch batch_;
};

TEST_F(CsvTest, AllColumnsButTheLabelAreFeatures) {
  Write("a,label,b\n1,7,2.5\n-3,8,4e2\n");
  EXPECT_THAT(Features(), ElementsAre(1, 2.5, -3, 400));
  EXPECT_THAT(LabelsRead(), ElementsAre(7, 8));
}

TEST_F(CsvTest, NullsAreLeftOutOrFilled) {
  Write("a,label,b\n1,7,2\n,8,3\nNA,,4\n5,9,\n6,1,7\n");
  EXPECT_THAT(OpenError(), HasSubstr("nulls: drop"));
  spec_.set_nulls("drop");
  EXPECT_THAT(Features(), ElementsAre(1, 2, 6, 7));
  EXPECT_THAT(LabelsRead(), ElementsAre(7, 1));
  EXPECT_EQ((*Open())->info().left_out, 3u);
  // Lines are those of the file.
  options_.classes = 7;
  Write("a,label\n,1\n\n2,7\n");
  EXPECT_THAT(OpenError(), HasSubstr("data.csv:4: column \"label\""));
  options_.classes = 0;
  spec_.set_nulls("fill:-1");
  Write("a,label,b\n,7,2\nNULL,8,3\n");
  EXPECT_THAT(Features(), ElementsAre(-1, 2, -1, 3));
  Write("a,label,b\n1,7,2\n1,,3\n");
  EXPECT_THAT(OpenError(),
              AllOf(HasSubstr("data.csv:3"), HasSubstr("nulls: drop")));
  spec_.set_nulls("drop");
  Write("a,label\n,7\n1,\n");
  EXPECT_THAT(OpenError(), HasSubstr("each of its 2 rows has a null"));
}

TEST_F(CsvTest, NamedFeaturesComeInTheirOrder) {
  Write("a,label,b,c\n1,7,2,x\n3,8,4,y\n");
  (*spec_.mutable_columns())["features"] = "b, a";
  EXPECT_THAT(Features(), ElementsAre(2, 1, 4, 3));
}

TEST_F(CsvTest, ValuesMayBeQuotedAndLinesEndInEitherWay) {
  Write("\xef\xbb\xbf\"a\",label\r\n\"1.5\",\"2\"\r\n\r\n3,4");
  EXPECT_THAT(Features(), ElementsAre(1.5, 3));
  EXPECT_THAT(LabelsRead(), ElementsAre(2, 4));
}

TEST_F(CsvTest, SeveralFilesAreReadInTheOrderOfNames) {
  spec_.set_path(folder_ / "part-*.csv");
  WriteBytes(folder_ / "part-2.csv", "b,a,label\n4,3,1\n");
  WriteBytes(folder_ / "part-1.csv", "a,b,label\n1,2,0\n");
  WriteBytes(folder_ / "other.csv", "no,numbers\nx,y\n");
  EXPECT_THAT(Features(), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(LabelsRead(), ElementsAre(0, 1));
}

TEST_F(CsvTest, ManyBlocksKeepEveryRecord) {
  // Beyond one block of Arrow's reader (8 MiB).
  std::string text = "a,b,label\n";
  constexpr int kRecords = 600000;
  for (int i = 0; i < kRecords; ++i) {
    text += std::to_string(i) + "," + std::to_string(i % 1000) + ".5," +
            std::to_string(i % 10) + "\n";
  }
  ASSERT_GT(text.size(), size_t{8} << 20);
  Write(text);
  auto dataset = Open();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_EQ((*dataset)->info().records, uint64_t{kRecords});
  for (uint64_t i = 0; i < kRecords; i += 997) {
    ASSERT_TRUE((*dataset)->ReadBatch({i}, &batch_).ok());
    ASSERT_EQ(batch_.features()[0], static_cast<float>(i));
    ASSERT_EQ(batch_.labels()[0], static_cast<int64_t>(i % 10));
  }
  // And an error far behind still has its line.
  Write(text + "1,oops,3\n");
  EXPECT_THAT(OpenError(), HasSubstr("data.csv:600002: column \"b\""));
}

TEST_F(CsvTest, PreprocessingIsApplied) {
  data_.add_preprocess()->set_scale(0.5);
  Write("a,label\n3,0\n");
  EXPECT_THAT(Features(), ElementsAre(1.5));
}

TEST_F(CsvTest, WhatIsNoNumberIsNamedWithItsLineAndColumn) {
  Write("a,b,label\n1,2,3\n\n4,x,6\n");
  EXPECT_THAT(OpenError(),
              HasSubstr("data.csv:4: column \"b\": \"x\" is not a number"));
  Write("a,b,label\n1,2,3\n4,,6\n");
  EXPECT_THAT(OpenError(),
              HasSubstr("data.csv:3: column \"b\": nothing is not a number"));
  Write("a,b,label\n1,2,3.5\n");
  EXPECT_THAT(
      OpenError(),
      HasSubstr("data.csv:2: column \"label\": \"3.5\" is not an integer"));
  Write("a,b,label\n1,nan,3\n");
  EXPECT_THAT(OpenError(),
              HasSubstr("data.csv:2: column \"b\": is not a finite number"));
}

TEST_F(CsvTest, ALongValueIsCutInTheMessage) {
  Write("a,label\n" + std::string(5000, 'x') + ",1\n");
  EXPECT_THAT(OpenError(), HasSubstr("xxx…\" is not a number"));
  EXPECT_LT(OpenError().size(), 300u);
}

TEST_F(CsvTest, ARowWithTooFewOrTooManyValuesIsNamed) {
  Write("a,b,label\n1,2,3\n4,5\n");
  EXPECT_THAT(
      OpenError(),
      HasSubstr("data.csv:3: has 2 values, and the header line 3 columns"));
  Write("a,b,label\n1,2,3\n4,5,6,7\n");
  EXPECT_THAT(OpenError(), HasSubstr("data.csv:3: has 4 values"));
}

TEST_F(CsvTest, ALabelOutsideTheClassesIsNamedWithItsLine) {
  options_.classes = 10;
  Write("a,label\n1,9\n2,10\n");
  EXPECT_THAT(OpenError(), AllOf(HasSubstr("data.csv:3: column \"label\""),
                                 HasSubstr("is 10"), HasSubstr("0 to 9")));
  Write("a,label\n1,-1\n");
  EXPECT_THAT(OpenError(), HasSubstr("the label is -1"));
}

TEST_F(CsvTest, AColumnThatIsNotThereIsNamedWithTheNearest) {
  Write("pixel,lable\n1,2\n");
  EXPECT_THAT(OpenError(),
              AllOf(HasSubstr("no column \"label\"; it has pixel, lable"),
                    HasSubstr("did you mean \"lable\"?")));
  Write("pixel,label\n1,2\n");
  (*spec_.mutable_columns())["features"] = "pixels";
  EXPECT_THAT(OpenError(), HasSubstr("did you mean \"pixel\"?"));
  spec_.clear_columns();
  EXPECT_THAT(OpenError(), HasSubstr("columns: {label: NAME}"));
}

TEST_F(CsvTest, FilesWithOtherColumnsAreRefused) {
  spec_.set_path(folder_ / "*.csv");
  WriteBytes(folder_ / "1.csv", "a,label\n1,0\n");
  WriteBytes(folder_ / "2.csv", "b,label\n1,0\n");
  EXPECT_THAT(OpenError(), AllOf(HasSubstr("unlike"), HasSubstr("1.csv"),
                                 HasSubstr("2.csv:1: has no column \"a\"")));
  WriteBytes(folder_ / "2.csv", "a,b,label\n1,2,0\n");
  EXPECT_THAT(OpenError(), HasSubstr("has 3 columns"));
}

TEST_F(CsvTest, WhatIsNoTableIsRefused) {
  Write("");
  EXPECT_THAT(OpenError(), HasSubstr("is empty"));
  Write("a,label\n");
  EXPECT_THAT(OpenError(), HasSubstr("no record"));
  Write("a,a,label\n1,2,3\n");
  EXPECT_THAT(OpenError(), HasSubstr("has \"a\" twice"));
  Write("label\n1\n");
  EXPECT_THAT(OpenError(), HasSubstr("no column but the label"));
  spec_.set_path(folder_ / "none-*.csv");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  spec_.set_path(folder_ / "absent.csv");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CsvTest, MoreThanMayBeHeldInMemoryIsRefused) {
  options_.max_memory_bytes = 20;
  Write("a,label\n1,0\n2,1\n");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(OpenError(), HasSubstr("held in memory"));
}

TEST_F(CsvTest, LabelsAreNotNeededForInference) {
  options_.labels = Labels::kIfAny;
  Write("a,b\n1,2\n");
  EXPECT_THAT(Features(), ElementsAre(1, 2));
  EXPECT_THAT(LabelsRead(), ElementsAre(0));
  spec_.clear_columns();
  EXPECT_THAT(Features(), ElementsAre(1, 2));
}

TEST_F(CsvTest, OtherRolesOfColumnsAreRefused) {
  Write("a,label\n1,0\n");
  (*spec_.mutable_columns())["weight"] = "a";
  EXPECT_THAT(OpenError(), HasSubstr("\"weight\" is neither features nor"));
}

}  // namespace
}  // namespace tfd::data
