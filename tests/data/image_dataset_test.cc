#include "data/image_dataset.h"

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/record_batch.h>

#include "data/image_features.h"
#include "data/parquet_file.h"
#include "tests/data/image_files.h"
#include "tests/data/table_testing.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

constexpr int kSide = 4;

// Grey images, all pixels of which are 10 times their number.
std::string Plain(int number) {
  Image image{kSide, kSide, 1, {}};
  image.pixels.assign(size_t{1} * kSide * kSide, 10 * number);
  return PngOf(image);
}

class ImageDatasetTest : public TableTest {
 protected:
  ImageDatasetTest() : TableTest(v1::DatasetSpec::PARQUET, "data.parquet") {
    NameFeatures("image");
    options_.labels = Labels::kIfAny;
    options_.record_shape = {1, kSide, kSide};
    spec_.mutable_image()->set_source(v1::ImageSpec::BYTES);
  }

  // A table of images, of which an empty one is null, and their labels.
  void Write(const std::vector<std::string>& images) {
    arrow::BinaryBuilder column;
    arrow::Int64Builder labels;
    for (size_t i = 0; i < images.size(); ++i) {
      ASSERT_TRUE(
          (images[i].empty() ? column.AppendNull() : column.Append(images[i]))
              .ok());
      ASSERT_TRUE(labels.Append(static_cast<int64_t>(i)).ok());
    }
    const auto schema = arrow::schema({arrow::field("image", arrow::binary()),
                                       arrow::field("label", arrow::int64())});
    const auto rows = static_cast<int64_t>(images.size());
    const auto batch = arrow::RecordBatch::Make(
        schema, rows, {*column.Finish(), *labels.Finish()});
    const auto file = CreateParquet(spec_.path(), schema);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Write(*batch).ok());
    ASSERT_TRUE((*file)->Finish().ok());
  }

  // What reading all records says.
  absl::Status ReadAll() {
    auto dataset = Open();
    if (!dataset.ok()) return dataset.status();
    std::vector<uint64_t> records((*dataset)->info().records);
    for (size_t i = 0; i < records.size(); ++i) records[i] = i;
    return (*dataset)->ReadBatch(records, &batch_);
  }
};

TEST_F(ImageDatasetTest, BytesAreDecodedScaledAndBroughtToTheModelsSize) {
  const Image large{8, 8, 3, std::vector<uint8_t>(size_t{8} * 8 * 3, 51)};
  Write({Plain(1), PngOf(large)});
  const std::vector<float> features = Features();
  ASSERT_EQ(features.size(), 2u * kSide * kSide);
  EXPECT_FLOAT_EQ(features[0], 10 / 255.0F);
  EXPECT_FLOAT_EQ(features.back(), 0.2F);
  EXPECT_THAT(info_.shape, ElementsAre(1, kSide, kSide));
  EXPECT_THAT(LabelsRead(), ElementsAre(0, 1));
}

TEST_F(ImageDatasetTest, ColoursComeOneAfterTheOther) {
  const Image image{1, 2, 3, {1, 2, 3, 4, 5, 6}};
  Write({PngOf(image)});
  spec_.mutable_image()->set_height(1);
  spec_.mutable_image()->set_width(2);
  spec_.mutable_image()->set_channels(3);
  data_.add_preprocess()->set_scale(1);
  EXPECT_THAT(Features(), ElementsAre(1, 4, 2, 5, 3, 6));
}

TEST_F(ImageDatasetTest, ABadRowEndsItWithRowAndColumn) {
  Write({Plain(1), "no image", Plain(2)});
  EXPECT_THAT(std::string(ReadAll().message()),
              AllOf(HasSubstr("data.parquet: row 1, column \"image\": "),
                    HasSubstr("neither a JPEG nor a PNG"),
                    HasSubstr("bad_rows: skip:N")));
}

TEST_F(ImageDatasetTest, BadRowsPassUpToTheirNumberAndSayWhy) {
  Write({Plain(1), "no image", Plain(2), ""});
  spec_.set_bad_rows("skip:2");
  ASSERT_TRUE(ReadAll().ok());
  ASSERT_EQ(batch_.errors().size(), 2u);
  EXPECT_EQ(batch_.errors()[0].row, 1);
  EXPECT_THAT(batch_.errors()[0].text, HasSubstr("row 1, column"));
  EXPECT_EQ(batch_.errors()[1].row, 3);
  EXPECT_THAT(batch_.errors()[1].text, HasSubstr("it is null"));
  const std::vector<float> bad(batch_.features() + kSide * kSide,
                               batch_.features() + 2 * kSide * kSide);
  EXPECT_THAT(bad, Each(0.0F));
  EXPECT_FLOAT_EQ(batch_.features()[2 * kSide * kSide], 20 / 255.0F);
  spec_.set_bad_rows("skip:1");
  EXPECT_THAT(std::string(ReadAll().message()),
              AllOf(HasSubstr("row 3"), HasSubstr("lets 1 pass")));
}

TEST_F(ImageDatasetTest, RowsWithoutAnImageAreLeftOutWhereTheSpecSaysSo) {
  Write({Plain(1), "", Plain(2), "damaged"});
  spec_.set_nulls("drop");
  auto dataset = Open();
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->info().records, 3u);
  EXPECT_EQ((*dataset)->info().left_out, 1u);
  ASSERT_TRUE((*dataset)->ReadBatch({0, 1}, &batch_).ok());
  EXPECT_EQ(batch_.labels()[1], 2);
  // A row is still called by its number in the file.
  EXPECT_THAT(std::string(ReadAll().message()), HasSubstr("row 3"));
}

TEST_F(ImageDatasetTest, PathsAreReadBesideTheTable) {
  spec_.set_format(v1::DatasetSpec::CSV);
  spec_.set_path(folder_ / "list.csv");
  spec_.mutable_image()->set_source(v1::ImageSpec::PATH);
  WriteBytes(folder_ / "a.png", Plain(3));
  WriteBytes(spec_.path(),
             absl::StrCat("label,image\n1,a.png\n0,", folder_ / "a.png", "\n"));
  EXPECT_THAT(Features(), Each(FloatNear(30 / 255.0F, 1e-6F)));
  EXPECT_THAT(LabelsRead(), ElementsAre(1, 0));
  WriteBytes(spec_.path(), "image\nb.png\n");
  EXPECT_THAT(std::string(ReadAll().message()),
              AllOf(HasSubstr("row 0, column \"image\", \"b.png\": "),
                    HasSubstr("No such file")));
  // What would wait, or never end.
  WriteBytes(spec_.path(), "image\n/dev/zero\n");
  EXPECT_THAT(std::string(ReadAll().message()), HasSubstr("this is no file"));
  spec_.mutable_image()->set_max_bytes(10);
  WriteBytes(spec_.path(), "image\na.png\n");
  EXPECT_THAT(std::string(ReadAll().message()), HasSubstr("image.max_bytes"));
}

TEST_F(ImageDatasetTest, WhatIsNoUrlIsRefusedWithoutAConnection) {
  Write({"ftp://host/a.png", "file:///etc/hostname", ""});
  spec_.mutable_image()->set_source(v1::ImageSpec::URL);
  spec_.set_bad_rows("skip:3");
  ASSERT_TRUE(ReadAll().ok());
  ASSERT_EQ(batch_.errors().size(), 3u);
  EXPECT_THAT(batch_.errors()[0].text,
              AllOf(HasSubstr("\"ftp://host/a.png\""),
                    HasSubstr("no URL that begins with http://")));
  EXPECT_THAT(batch_.errors()[1].text, HasSubstr("no URL that begins"));
  EXPECT_THAT(batch_.errors()[2].text, HasSubstr("it is null"));
}

TEST_F(ImageDatasetTest, WhatDoesNotFitIsSaidWhenItIsOpened) {
  Write({Plain(1)});
  spec_.clear_columns();
  EXPECT_THAT(OpenError(), HasSubstr("which column has the images?"));
  NameFeatures("label");
  EXPECT_THAT(OpenError(), HasSubstr("int64, and images are binary"));
  NameFeatures("picture");
  EXPECT_THAT(OpenError(), HasSubstr("there is no column \"picture\""));
  NameFeatures("image");
  options_.record_shape = {784};
  EXPECT_THAT(OpenError(), HasSubstr("to which size"));
  spec_.set_bad_rows("drop");
  options_.record_shape = {1, 4, 4};
  EXPECT_THAT(OpenError(), HasSubstr("\"drop\" is neither"));
}

}  // namespace
}  // namespace tfd::data
