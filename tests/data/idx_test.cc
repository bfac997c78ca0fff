#include "data/idx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "common/testing/temp_folder.h"
#include "tests/data/idx_files.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;

class IdxTest : public ::testing::Test {
 protected:
  IdxTest() {
    spec_.set_format(v1::DatasetSpec::IDX);
    spec_.set_features(folder_ / "images");
    spec_.set_labels(folder_ / "labels");
  }

  absl::StatusOr<std::unique_ptr<Dataset>> Open() {
    return OpenDataset(spec_, Preprocess(data_), options_);
  }
  std::string OpenError() { return std::string(Open().status().message()); }

  testing::TempFolder folder_;
  v1::DatasetSpec spec_;
  v1::DataSpec data_;
  OpenOptions options_;
};

TEST_F(IdxTest, ReadsRecordsInTheOrderAskedFor) {
  WriteImages(folder_ / "images", folder_ / "labels", 20);
  auto dataset = Open();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->info().records, 20u);
  EXPECT_THAT((*dataset)->info().shape, ElementsAre(2, 3));
  EXPECT_EQ((*dataset)->info().elements, 6);
  EXPECT_EQ((*dataset)->info().dtype, Dtype::kUint8);
  Batch batch;
  ASSERT_TRUE((*dataset)->ReadBatch({13, 2, 13}, &batch).ok());
  ASSERT_EQ(batch.size(), 3);
  for (int64_t i = 0; i < 3; ++i) {
    const int record = i == 1 ? 2 : 13;
    EXPECT_EQ(batch.labels()[i], record % 10);
    for (int p = 0; p < 6; ++p) {
      EXPECT_FLOAT_EQ(batch.features()[i * 6 + p], (record + p) / 255.0f);
    }
  }
}

TEST_F(IdxTest, TheBatchsMemoryIsAlignedAndReused) {
  WriteImages(folder_ / "images", folder_ / "labels", 20);
  auto dataset = Open();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  Batch batch;
  ASSERT_TRUE((*dataset)->ReadBatch({0, 1, 2, 3}, &batch).ok());
  const float* features = batch.features();
  const int64_t* labels = batch.labels();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(features) % 64, 0u);
  ASSERT_TRUE((*dataset)->ReadBatch({7}, &batch).ok());
  ASSERT_TRUE((*dataset)->ReadBatch({9, 8, 7, 6}, &batch).ok());
  EXPECT_EQ(batch.features(), features);
  EXPECT_EQ(batch.labels(), labels);
}

TEST_F(IdxTest, FeaturesOfEveryTypeAreRead) {
  struct Case {
    uint8_t code;
    int bytes;
    uint64_t raw;
    float value;
  };
  const auto bits = [](auto value) {
    uint64_t raw = 0;
    std::memcpy(&raw, &value, sizeof(value));
    return raw;
  };
  data_.add_preprocess()->set_scale(2);
  for (const Case& c :
       {Case{0x08, 1, 200, 400}, Case{0x09, 1, 0xff, -2},
        Case{0x0b, 2, 0xfffe, -4}, Case{0x0c, 4, 70000, 140000},
        Case{0x0d, 4, bits(0.25f), 0.5}, Case{0x0e, 8, bits(-0.75), -1.5}}) {
    WriteBytes(folder_ / "images", IdxHeader(c.code, {2, 1}) +
                                       BigEndian(0, c.bytes) +
                                       BigEndian(c.raw, c.bytes));
    WriteBytes(folder_ / "labels", IdxHeader(0x08, {2}) + "\1\2");
    auto dataset = Open();
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    Batch batch;
    ASSERT_TRUE((*dataset)->ReadBatch({1, 0}, &batch).ok());
    EXPECT_EQ(batch.features()[0], c.value) << int{c.code};
    EXPECT_EQ(batch.features()[1], 0) << int{c.code};
  }
}

TEST_F(IdxTest, LabelsMayBeWiderIntegers) {
  WriteImages(folder_ / "images", folder_ / "labels", 2);
  WriteBytes(folder_ / "labels",
             IdxHeader(0x0c, {2}) + BigEndian(5, 4) + BigEndian(100000, 4));
  auto dataset = Open();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  const auto range = HeadLabels(**dataset, 1000);
  ASSERT_TRUE(range.ok());
  EXPECT_EQ(range->smallest, 5);
  EXPECT_EQ(range->largest, 100000);
}

TEST_F(IdxTest, ATruncatedFileIsNamedWithBothSizes) {
  WriteBytes(folder_ / "images",
             IdxHeader(0x08, {60000, 28, 28}) + std::string(999984, '\0'));
  EXPECT_THAT(
      OpenError(),
      AllOf(HasSubstr(folder_ / "images"),
            HasSubstr("header promises 60,000 × 28×28 of uint8 = 47,040,016 "
                      "bytes, the file has 1,000,000"),
            HasSubstr("truncated? Fetch it again")));
}

TEST_F(IdxTest, EveryTruncationOfASmallFileIsRefused) {
  WriteImages(folder_ / "images", folder_ / "labels", 1);
  const std::string whole = IdxHeader(0x08, {1, 2, 3}) + "abcdef";
  for (size_t size = 0; size < whole.size(); ++size) {
    WriteBytes(folder_ / "images", whole.substr(0, size));
    EXPECT_EQ(Open().status().code(), absl::StatusCode::kInvalidArgument)
        << size;
  }
  WriteBytes(folder_ / "images", whole);
  EXPECT_TRUE(Open().ok()) << OpenError();
  WriteBytes(folder_ / "images", whole + "g");
  EXPECT_THAT(OpenError(), HasSubstr("something appended"));
}

TEST_F(IdxTest, AHeaderThatPromisesMoreThanCanBeIsRefused) {
  WriteBytes(folder_ / "images",
             IdxHeader(0x0e, {0xffffffff, 0xffffffff, 0xffffffff, 2}));
  EXPECT_THAT(OpenError(), HasSubstr("more bytes than any file can have"));
}

TEST_F(IdxTest, WhatIsNoIdxFileIsSaid) {
  WriteBytes(folder_ / "images", "label,pixel\n1,2\n");
  EXPECT_THAT(OpenError(), HasSubstr("is no IDX file: it begins with 6c 61"));
  WriteBytes(folder_ / "images", "\x1f\x8b\x08\x08 and so on");
  EXPECT_THAT(OpenError(), HasSubstr("gunzip"));
  WriteBytes(folder_ / "images", IdxHeader(0x08, {0, 2}));
  EXPECT_THAT(OpenError(), HasSubstr("has no data"));
}

TEST_F(IdxTest, AMissingFileIsNamed) {
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(OpenError(), HasSubstr(folder_ / "images"));
}

TEST_F(IdxTest, DifferentNumbersOfFeaturesAndLabelsAreNamed) {
  WriteImages(folder_ / "images", folder_ / "labels", 20);
  WriteBytes(folder_ / "labels", IdxHeader(0x08, {3}) + "abc");
  EXPECT_THAT(OpenError(), AllOf(HasSubstr("images has 20 records"),
                                 HasSubstr("labels are 3")));
}

TEST_F(IdxTest, FeaturesGivenAsLabelsAreRefused) {
  WriteImages(folder_ / "images", folder_ / "labels", 20);
  spec_.set_labels(spec_.features());
  EXPECT_THAT(OpenError(), HasSubstr("the wrong way round?"));
}

TEST_F(IdxTest, ALabelOutsideTheClassesNamesItsRecord) {
  WriteImages(folder_ / "images", folder_ / "labels", 20);
  options_.classes = 7;
  auto dataset = Open();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  Batch batch;
  EXPECT_TRUE((*dataset)->ReadBatch({0, 6}, &batch).ok());
  EXPECT_THAT(std::string((*dataset)->ReadBatch({3, 18}, &batch).message()),
              AllOf(HasSubstr("label of record 18 is 8"), HasSubstr("0 to 6")));
}

TEST_F(IdxTest, ARecordThatIsNotThereIsRefused) {
  WriteImages(folder_ / "images", folder_ / "labels", 20);
  auto dataset = Open();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  Batch batch;
  EXPECT_EQ((*dataset)->ReadBatch({20}, &batch).code(),
            absl::StatusCode::kOutOfRange);
}

TEST_F(IdxTest, LabelsAreNeededForTrainingAndNotForInference) {
  WriteImages(folder_ / "images", folder_ / "labels", 20);
  spec_.clear_labels();
  EXPECT_THAT(OpenError(), HasSubstr("needs `labels`"));
  options_.labels = Labels::kIfAny;
  auto dataset = Open();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_FALSE((*dataset)->info().has_labels);
  Batch batch;
  ASSERT_TRUE((*dataset)->ReadBatch({19}, &batch).ok());
  EXPECT_EQ(batch.labels()[0], 0);
}

}  // namespace
}  // namespace tfd::data
