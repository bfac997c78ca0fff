#include "data/pushed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/crc32c.h"
#include "common/testing/temp_folder.h"
#include "tests/data/arrow_messages.h"
#include "tests/data/idx_files.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PushedTest : public ::testing::Test {
 protected:
  PushedTest() {
    spec_.set_format(v1::DatasetSpec::PUSHED);
    (*spec_.mutable_columns())["features"] = "image";
    (*spec_.mutable_columns())["label"] = "label";
  }

  // A sealed partition with these bytes.
  v1::Partition& Add(const std::string& bytes, int64_t rows) {
    v1::Partition partition;
    partition.set_producer("p");
    partition.set_partition(std::to_string(options_.partitions.size()));
    partition.set_rows(rows);
    partition.set_crc32c(Crc32c(bytes));
    partition.set_path(folder_ / (partition.partition() + ".arrow"));
    WriteBytes(partition.path(), bytes);
    options_.partitions.push_back(partition);
    return options_.partitions.back();
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

TEST_F(PushedTest, RecordsAreNumberedThroughPartitionsAndBatches) {
  Add(StreamOf({ImageBatch(0, 3), ImageBatch(3, 3), ImageBatch(3, 10)}), 10);
  Add(StreamOf({ImageBatch(10, 11)}), 1);
  Add(StreamOf({ImageBatch(0, 0)}), 0);
  Add(StreamOf({ImageBatch(11, 25), ImageBatch(25, 30)}), 19);
  auto dataset = Open();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  const DatasetInfo& info = (*dataset)->info();
  EXPECT_EQ(info.records, 30u);
  EXPECT_THAT(info.shape, ElementsAre(6));
  EXPECT_EQ(info.dtype, Dtype::kUint8);
  EXPECT_EQ(info.preprocess.size(), 1u);
  std::vector<uint64_t> records;
  for (uint64_t r = 30; r-- > 0;) records.push_back(r);
  Batch batch;
  ASSERT_TRUE((*dataset)->ReadBatch(records, &batch).ok());
  for (int i = 0; i < 30; ++i) {
    const int record = 29 - i;
    EXPECT_EQ(batch.labels()[i], record % 10);
    for (int p = 0; p < 6; ++p) {
      EXPECT_FLOAT_EQ(batch.features()[i * 6 + p], (record + p) / 255.0f);
    }
  }
  EXPECT_EQ((*dataset)->ReadBatch({30}, &batch).code(),
            absl::StatusCode::kOutOfRange);
}

TEST_F(PushedTest, ColumnsOfSeveralTypesAreReadIntoOneRecord) {
  (*spec_.mutable_columns())["features"] = "a,b";
  const auto rows =
      JsonBatch({{"a", arrow::int32(), "[1, 2]"},
                 {"label", arrow::uint16(), "[5, 6]"},
                 {"b", arrow::list(arrow::float64()), "[[0.5, 1], [2, 3]]"}});
  Add(StreamOf({rows}), 2);
  auto dataset = Open();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  Batch batch;
  ASSERT_TRUE((*dataset)->ReadBatch({1, 0}, &batch).ok());
  EXPECT_THAT(std::vector<float>(batch.features(), batch.features() + 6),
              ElementsAre(2, 2, 3, 1, 0.5, 1));
  EXPECT_EQ(batch.labels()[0], 6);
}

TEST_F(PushedTest, RowsWithNullsAreLeftOutAndStillSealed) {
  const auto rows = [](const std::string& x) {
    return JsonBatch({{"image", arrow::list(arrow::float32()), x},
                      {"label", arrow::int8(), "[0, 1, 2]"}});
  };
  Add(StreamOf({rows("[null, null, null]"), rows("[[1], [null], [3]]")}), 6);
  EXPECT_THAT(OpenError(), HasSubstr("has a null in row 0"));
  spec_.set_nulls("drop");
  auto dataset = Open();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->info().records, 2u);
  EXPECT_EQ((*dataset)->info().left_out, 4u);
  Batch batch;
  ASSERT_TRUE((*dataset)->ReadBatch({1, 0}, &batch).ok());
  EXPECT_THAT(std::vector<float>(batch.features(), batch.features() + 2),
              ElementsAre(3, 1));
  EXPECT_EQ(batch.labels()[0], 2);
  options_.partitions.clear();
  Add(StreamOf({rows("[null, null, null]")}), 3);
  EXPECT_THAT(OpenError(), HasSubstr("each of its 3 rows has a null"));
  options_.may_be_empty = true;
  dataset = Open();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->info().records, 0u);
}

TEST_F(PushedTest, ADifferenceToWhatWasSealedIsNamed) {
  const std::string bytes = StreamOf({ImageBatch(0, 4)});
  Add(bytes, 5);
  EXPECT_THAT(OpenError(), AllOf(HasSubstr("partition 0 of producer p"),
                                 HasSubstr("has 4 rows, and 5 were sealed")));
  options_.partitions.clear();
  Add(bytes.substr(0, bytes.size() - 8), 4);
  EXPECT_THAT(OpenError(), HasSubstr("4 rows and no end"));
}

TEST_F(PushedTest, ADamagedFileIsFoundByItsChecksum) {
  std::string bytes = StreamOf({ImageBatch(0, 4)});
  v1::Partition& partition = Add(bytes, 4);
  // In the middle of the pixels.
  bytes[bytes.size() - 40] = static_cast<char>(bytes[bytes.size() - 40] ^ 1);
  WriteBytes(partition.path(), bytes);
  EXPECT_THAT(OpenError(), HasSubstr("has the checksum"));
  options_.verify_checksums = false;
  EXPECT_TRUE(Open().ok()) << OpenError();
}

TEST_F(PushedTest, PartitionsOfOtherTypesOrSizesAreRefused) {
  Add(StreamOf({ImageBatch(0, 4)}), 4);
  Add(StreamOf({ImageBatch(0, 4, 7)}), 4);
  EXPECT_THAT(OpenError(),
              AllOf(HasSubstr("partition 1"), HasSubstr("has 7 values")));
  options_.partitions.pop_back();
  const auto rows = JsonBatch(
      {{"image", arrow::list(arrow::float32()), "[[1, 2, 3, 4, 5, 6]]"},
       {"label", arrow::uint8(), "[1]"}});
  Add(StreamOf({rows}), 1);
  EXPECT_THAT(OpenError(), HasSubstr("not of the type it has in the dataset's "
                                     "other parts"));
}

TEST_F(PushedTest, ADatasetWithoutRowsIsRefused) {
  EXPECT_THAT(OpenError(), HasSubstr("0 partitions have no rows"));
  Add(StreamOf({ImageBatch(0, 0)}), 0);
  EXPECT_THAT(OpenError(), HasSubstr("have no rows"));
}

TEST_F(PushedTest, AMissingFileIsNamed) {
  Add(StreamOf({ImageBatch(0, 4)}), 4).set_path(folder_ / "gone.arrow");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(OpenError(), HasSubstr("gone.arrow"));
}

TEST_F(PushedTest, ALabelOutsideTheClassesIsNamed) {
  options_.classes = 5;
  Add(StreamOf({ImageBatch(0, 8)}), 8);
  EXPECT_THAT(OpenError(), HasSubstr("label in row 5 is 5"));
}

}  // namespace
}  // namespace tfd::data
