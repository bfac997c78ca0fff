#include <arrow/io/file.h>
#include <arrow/table.h>
#include <parquet/arrow/writer.h>

#include <limits>

#include "data/parquet_file.h"
#include "tests/data/table_testing.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

class ParquetTest : public TableTest {
 protected:
  ParquetTest() : TableTest(v1::DatasetSpec::PARQUET, "data.parquet") {}

  void Write(const std::vector<std::shared_ptr<arrow::RecordBatch>>& batches) {
    WriteTo(spec_.path(), batches);
  }

  // As other programs write it.
  static void WriteTo(
      const std::string& path,
      const std::vector<std::shared_ptr<arrow::RecordBatch>>& batches,
      int64_t row_group_rows = 1 << 20,
      arrow::Compression::type compression = arrow::Compression::SNAPPY) {
    const auto table =
        arrow::Table::FromRecordBatches(batches[0]->schema(), batches)
            .ValueOrDie();
    const auto file = arrow::io::FileOutputStream::Open(path).ValueOrDie();
    const auto properties = parquet::WriterProperties::Builder()
                                .compression(compression)
                                ->enable_page_checksum()
                                ->build();
    const arrow::Status status = parquet::arrow::WriteTable(
        *table, arrow::default_memory_pool(), file, row_group_rows, properties);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
};

const JsonColumn kTwoLabels = {"label", arrow::int64(), "[7, 8]"};

TEST_F(ParquetTest, AllColumnsButTheLabelAreFeatures) {
  Write({JsonBatch({{"a", arrow::float32(), "[1, -3]"},
                    kTwoLabels,
                    {"b", arrow::int16(), "[2, 400]"}})});
  EXPECT_THAT(Features(), ElementsAre(1, 2, -3, 400));
  EXPECT_THAT(LabelsRead(), ElementsAre(7, 8));
  EXPECT_THAT(info_.shape, ElementsAre(2));
  EXPECT_EQ(info_.dtype, Dtype::kFloat64);
}

TEST_F(ParquetTest, OnlyTheColumnsThatAreNamedAreRead) {
  Write({JsonBatch({{"name", arrow::utf8(), R"(["x", "y"])"},
                    {"a", arrow::float32(), "[1, 3]"},
                    {"nulls", arrow::int8(), "[null, null]"},
                    {"b", arrow::float32(), "[2, 4]"},
                    {"parts",
                     arrow::struct_({arrow::field("p", arrow::int8()),
                                     arrow::field("q", arrow::int8())}),
                     "[[1, 2], [3, 4]]"},
                    kTwoLabels})});
  NameFeatures("b, a");
  EXPECT_THAT(Features(), ElementsAre(2, 1, 4, 3));
  EXPECT_THAT(LabelsRead(), ElementsAre(7, 8));
}

TEST_F(ParquetTest, BooleansDictionariesAndNullsAreTaken) {
  Write({JsonBatch(
      {{"b", arrow::boolean(), "[true, null, false]"},
       {"d", arrow::dictionary(arrow::int8(), arrow::int64()), "[300, 7, 300]"},
       {"label", arrow::boolean(), "[true, false, false]"}})});
  EXPECT_THAT(OpenError(),
              AllOf(HasSubstr("row group 0"), HasSubstr("null in row 1")));
  spec_.set_nulls("drop");
  EXPECT_THAT(Features(), ElementsAre(1, 300, 0, 300));
  EXPECT_THAT(LabelsRead(), ElementsAre(1, 0));
  EXPECT_EQ(info_.left_out, 1u);
  spec_.set_nulls("fill:0.25");
  NameFeatures("b");
  EXPECT_THAT(Features(), ElementsAre(1, 0.25, 0));
}

TEST_F(ParquetTest, BytesAndListsAreRecords) {
  Write({JsonBatch({{"x", arrow::binary(), R"(["ab", "cd"])"}, kTwoLabels})});
  EXPECT_THAT(Features(), Each(FloatNear(98.5f / 255, 1.6f / 255)));
  data_.add_preprocess()->set_scale(1);
  for (const auto& type :
       {arrow::list(arrow::uint8()), arrow::fixed_size_list(arrow::int32(), 3),
        arrow::large_list(arrow::float64())}) {
    Write({JsonBatch({{"x", type, "[[1, 2, 3], [4, 5, 6]]"}, kTwoLabels})});
    EXPECT_THAT(Features(), ElementsAre(1, 2, 3, 4, 5, 6)) << type->ToString();
    EXPECT_THAT(info_.shape, ElementsAre(3));
  }
}

TEST_F(ParquetTest, RowGroupsAreReadInTheirOrderWhateverTheirCompression) {
  data_.add_preprocess()->set_scale(1);
  for (const auto compression :
       {arrow::Compression::UNCOMPRESSED, arrow::Compression::SNAPPY,
        arrow::Compression::GZIP, arrow::Compression::ZSTD}) {
    WriteTo(spec_.path(), {ImageBatch(0, 20000)}, 900, compression);
    const std::vector<float> features = Features();
    ASSERT_EQ(features.size(), 20000u * 6);
    for (size_t i = 0; i < features.size(); ++i) {
      ASSERT_EQ(features[i], static_cast<uint8_t>(i / 6 + i % 6)) << i;
    }
    EXPECT_EQ(LabelsRead()[19999], 9);
  }
}

TEST_F(ParquetTest, SeveralFilesAreReadInTheOrderOfNames) {
  spec_.set_path(folder_ / "part-*.parquet");
  WriteTo(folder_ / "part-2.parquet",
          {JsonBatch({{"b", arrow::int8(), "[4]"},
                      {"label", arrow::int8(), "[1]"},
                      {"a", arrow::int8(), "[3]"}})});
  WriteTo(folder_ / "part-1.parquet",
          {JsonBatch({{"a", arrow::int8(), "[1]"},
                      {"b", arrow::int8(), "[2]"},
                      {"label", arrow::int8(), "[0]"}})});
  data_.add_preprocess()->set_scale(1);
  EXPECT_THAT(Features(), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(LabelsRead(), ElementsAre(0, 1));
  WriteTo(folder_ / "part-3.parquet",
          {JsonBatch({{"a", arrow::int16(), "[1]"},
                      {"b", arrow::int8(), "[2]"},
                      {"label", arrow::int8(), "[0]"}})});
  EXPECT_THAT(OpenError(),
              AllOf(HasSubstr("part-3.parquet: "), HasSubstr("\"a\""),
                    HasSubstr("dataset's other parts")));
  WriteTo(folder_ / "part-3.parquet",
          {JsonBatch(
              {{"a", arrow::int8(), "[1]"}, {"label", arrow::int8(), "[0]"}})});
  EXPECT_THAT(OpenError(), HasSubstr("has the 2 columns a, label, unlike"));
}

TEST_F(ParquetTest, BadValuesAreNamedWithRowGroupRowAndColumn) {
  const auto write = [this](const std::shared_ptr<arrow::DataType>& type,
                            const std::string& values) {
    WriteTo(spec_.path(),
            {JsonBatch({{"x", type, values},
                        {"label", arrow::int8(), "[0, 1, 2, 3, 4]"}})},
            2);
  };
  write(arrow::float32(), "[1, 2, 3, null, 5]");
  EXPECT_THAT(OpenError(),
              HasSubstr("data.parquet: row group 1: column \"x\" has a null in "
                        "row 3"));
  write(arrow::list(arrow::int32()), "[[1, 2], [3, 4], [5, 6], [7], [8, 9]]");
  EXPECT_THAT(OpenError(), AllOf(HasSubstr("row group 1: column \"x\": row 3"),
                                 HasSubstr("another number of values")));
  write(arrow::list(arrow::int32()),
        "[[1, 2], [3, 4], [5, 6], [7, null], [8, 9]]");
  EXPECT_THAT(OpenError(), HasSubstr("has a null in row 3"));
  write(arrow::fixed_size_list(arrow::int8(), 2),
        "[[1, 2], [3, 4], [5, 6], [7, 8], [null, 9]]");
  EXPECT_THAT(OpenError(), AllOf(HasSubstr("row group 2"),
                                 HasSubstr("has a null in row 4")));
  arrow::DoubleBuilder numbers;
  ASSERT_TRUE(
      numbers
          .AppendValues({0, 1, 2, -std::numeric_limits<double>::infinity(), 4})
          .ok());
  auto batch = JsonBatch({{"label", arrow::int8(), "[0, 1, 2, 3, 4]"}});
  batch = batch->AddColumn(0, "x", numbers.Finish().ValueOrDie()).ValueOrDie();
  WriteTo(spec_.path(), {batch}, 2);
  EXPECT_THAT(OpenError(), HasSubstr("row group 1: column \"x\": row 3 has a "
                                     "number that is not finite"));
  options_.classes = 4;
  write(arrow::float32(), "[1, 2, 3, 4, 5]");
  EXPECT_THAT(OpenError(), HasSubstr("row group 2: column \"label\": the label "
                                     "in row 4 is 4; the model has 4 classes"));
}

TEST_F(ParquetTest, ColumnsThatCannotBeTakenAreNamed) {
  Write({JsonBatch({{"pixel", arrow::utf8(), R"(["x", "y"])"},
                    {"lable", arrow::float32(), "[1, 2]"}})});
  EXPECT_THAT(OpenError(), AllOf(HasSubstr("data.parquet: there is no column "
                                           "\"label\" (did you mean \"lable\""),
                                 HasSubstr("{pixel: string, lable: float}")));
  (*spec_.mutable_columns())["label"] = "lable";
  EXPECT_THAT(OpenError(),
              AllOf(HasSubstr("\"lable\" has the type float"),
                    HasSubstr("cannot be the label: cast it to int64")));
  Write({JsonBatch({{"pixel", arrow::utf8(), R"(["x", "y"])"},
                    {"lable", arrow::int32(), "[1, 2]"}})});
  NameFeatures("pixel");
  EXPECT_THAT(OpenError(), AllOf(HasSubstr("\"pixel\" has the type string"),
                                 HasSubstr("cast it to a number")));
  NameFeatures("lable");
  spec_.mutable_columns()->erase("label");
  EXPECT_THAT(OpenError(), HasSubstr("columns: {label: NAME}; it has pixel, "
                                     "lable"));
}

TEST_F(ParquetTest, LabelsAreNotNeededForInference) {
  options_.labels = Labels::kIfAny;
  Write({JsonBatch({{"a", arrow::float32(), "[1, 3]"}})});
  EXPECT_THAT(Features(), ElementsAre(1, 3));
  EXPECT_FALSE(info_.has_labels);
  EXPECT_THAT(LabelsRead(), ElementsAre(0, 0));
}

TEST_F(ParquetTest, WhatIsNoWholeFileIsRefused) {
  WriteBytes(spec_.path(), "no Parquet at all");
  EXPECT_THAT(OpenError(), HasSubstr("data.parquet: is no whole Parquet file"));
  WriteBytes(spec_.path(), "");
  EXPECT_THAT(OpenError(), HasSubstr("is no whole Parquet file"));
  Write({ImageBatch(0, 1000)});
  const std::string whole = Contents(spec_.path());
  WriteBytes(spec_.path(), whole.substr(0, whole.size() - 1));
  EXPECT_THAT(OpenError(), HasSubstr("is no whole Parquet file"));
  Write({ImageBatch(0, 0)});
  EXPECT_THAT(OpenError(), HasSubstr("has no rows"));
  spec_.set_path(folder_ / "absent.parquet");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  spec_.set_path(folder_ / "absent-*.parquet");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ParquetTest, ADamagedPageIsNamedWithItsColumn) {
  WriteTo(spec_.path(), {ImageBatch(0, 1000, 50)}, 500,
          arrow::Compression::UNCOMPRESSED);
  const std::string whole = Contents(spec_.path());
  std::string damaged = whole;
  // In the images of the first row group, well past its page's header.
  damaged[10000] = static_cast<char>(damaged[10000] ^ 0x10);
  WriteBytes(spec_.path(), damaged);
  EXPECT_THAT(OpenError(),
              HasSubstr("data.parquet: row group 0 of column \"image\" cannot "
                        "be read: "));
}

TEST_F(ParquetTest, NoDamageEndsTheProcess) {
  WriteTo(spec_.path(), {ImageBatch(0, 300)}, 100);
  const std::string whole = Contents(spec_.path());
  for (size_t i = 0; i < whole.size(); i += 3) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    WriteBytes(spec_.path(), damaged);
    const auto dataset = Open();
    if (dataset.ok()) continue;
    EXPECT_THAT(std::string(dataset.status().message()),
                HasSubstr("data.parquet: "));
  }
}

TEST_F(ParquetTest, MoreThanMayBeHeldInMemoryIsRefused) {
  options_.max_memory_bytes = 10000;
  Write({ImageBatch(0, 5000)});
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(OpenError(), AllOf(HasSubstr("held in memory"),
                                 HasSubstr("the format arrow")));
}

TEST_F(ParquetTest, WhatIsWrittenIsReadAgain) {
  auto writer = CreateParquet(spec_.path(), ImageBatch(0, 1)->schema()).value();
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(writer->Write(*ImageBatch(0, 3)).ok());
  ASSERT_TRUE(writer->Write(*ImageBatch(3, 5)).ok());
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(Features().size(), 30u);
  EXPECT_THAT(LabelsRead(), ElementsAre(0, 1, 2, 3, 4));
}

}  // namespace
}  // namespace tfd::data
