#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "data/tfrecord_file.h"
#include "tests/data/table_testing.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Two records of {image: one byte string, label: 7 and 8, weights: 0.5 and 0 or
// -1.5}, as TensorFlow 2.21's tf.io.TFRecordWriter writes them.
std::string GoldenFile() {
  return absl::HexStringToBytes(
      "3d000000000000006049f1ec0a3b0a100a05696d61676512070a050a030102ff0a0e0a05"
      "6c6162656c12051a030a01070a170a0777656967687473120c120a0a080000003f000000"
      "80fb9e11e9"
      "3d000000000000006049f1ec0a3b0a100a05696d61676512070a050a030202ff0a0e0a05"
      "6c6162656c12051a030a01080a170a0777656967687473120c120a0a080000003f0000c0"
      "bf065b173c");
}

class TfRecordTest : public TableTest {
 protected:
  TfRecordTest() : TableTest(v1::DatasetSpec::TFRECORD, "data.tfrecord") {
    data_.add_preprocess()->set_scale(1);
  }

  // By our own writer, from columns.
  void Write(const std::vector<std::shared_ptr<arrow::RecordBatch>>& batches) {
    auto writer = CreateTfRecord(spec_.path(), batches[0]->schema());
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (const auto& batch : batches) {
      ASSERT_TRUE((*writer)->Write(*batch).ok());
    }
    ASSERT_TRUE((*writer)->Finish().ok());
  }
};

TEST_F(TfRecordTest, BytesFloatsAndIntegersAreFeatures) {
  Write({JsonBatch({{"bytes", arrow::binary(), R"(["ab", "cd"])"},
                    {"floats", arrow::fixed_size_list(arrow::float32(), 2),
                     "[[0.5, 1], [2, 4]]"},
                    {"label", arrow::int8(), "[7, 8]"},
                    {"one", arrow::uint16(), "[3, 60000]"}})});
  EXPECT_THAT(Features(), ElementsAre(97, 98, 0.5, 1, 3,  //
                                      99, 100, 2, 4, 60000));
  EXPECT_THAT(LabelsRead(), ElementsAre(7, 8));
  NameFeatures("one, bytes");
  EXPECT_THAT(Features(), ElementsAre(3, 97, 98, 60000, 99, 100));
  NameFeatures("floats");
  EXPECT_THAT(Features(), ElementsAre(0.5, 1, 2, 4));
  EXPECT_EQ(info_.dtype, Dtype::kFloat32);
}

TEST_F(TfRecordTest, WhatTensorFlowWritesIsReadAndWritten) {
  WriteBytes(spec_.path(), GoldenFile());
  EXPECT_THAT(Features(),
              ElementsAre(1, 2, 255, 0.5, -0.f, 2, 2, 255, 0.5, -1.5));
  EXPECT_THAT(LabelsRead(), ElementsAre(7, 8));
  auto reader = OpenTfRecord(spec_.path()).value();
  const auto batch = reader->Next().value();
  spec_.set_path(folder_ / "again.tfrecord");
  Write({batch});
  EXPECT_EQ(Contents(spec_.path()), GoldenFile());
}

TEST_F(TfRecordTest, ManyRecordsCompressedOrNot) {
  for (const char* name : {"data.tfrecord", "data.tfrecord.gz"}) {
    spec_.set_path(folder_ / name);
    Write({ImageBatch(0, 9000), ImageBatch(9000, 10001)});
    const std::vector<float> features = Features();
    ASSERT_EQ(features.size(), 10001u * 6) << name;
    for (size_t i = 0; i < features.size(); ++i) {
      ASSERT_EQ(features[i], static_cast<uint8_t>(i / 6 + i % 6)) << i;
    }
    EXPECT_EQ(LabelsRead()[10000], 0);
  }
  EXPECT_EQ(Contents(folder_ / "data.tfrecord.gz").substr(0, 2), "\x1f\x8b");
}

TEST_F(TfRecordTest, ADamagedRecordIsNamedWithItsByte) {
  Write({ImageBatch(0, 3)});
  const std::string whole = Contents(spec_.path());
  const size_t record = whole.size() / 3;
  std::string damaged = whole;
  damaged[record + 20] ^= 1;
  WriteBytes(spec_.path(), damaged);
  EXPECT_THAT(OpenError(),
              HasSubstr(absl::StrCat("data.tfrecord: record 1 at byte ", record,
                                     ": the checksum of its ", record - 16,
                                     " bytes is wrong")));
  damaged = whole;
  damaged[2 * record + 1] ^= 1;
  WriteBytes(spec_.path(), damaged);
  EXPECT_THAT(OpenError(),
              HasSubstr(absl::StrCat("record 2 at byte ", 2 * record,
                                     ": the checksum of its length is wrong")));
  WriteBytes(spec_.path(), whole.substr(0, whole.size() - 1));
  EXPECT_THAT(OpenError(),
              HasSubstr(absl::StrCat("record 2 at byte ", 2 * record,
                                     ": the file ends within it")));
  WriteBytes(spec_.path(), whole.substr(0, record + 5));
  EXPECT_THAT(OpenError(), HasSubstr("record 1 at byte"));
}

TEST_F(TfRecordTest, WhatIsNoFileOfExamplesIsRefused) {
  WriteBytes(spec_.path(), "something else, and long enough");
  EXPECT_THAT(OpenError(), HasSubstr("is it a TFRecord file"));
  WriteBytes(spec_.path(), "");
  EXPECT_THAT(OpenError(), HasSubstr("data.tfrecord: "));
  spec_.set_path(folder_ / "absent");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
}

TEST_F(TfRecordTest, ADamagedCompressedFileIsRefused) {
  spec_.set_path(folder_ / "data.tfrecord.gz");
  Write({ImageBatch(0, 5000)});
  const std::string whole = Contents(spec_.path());
  WriteBytes(spec_.path(), whole.substr(0, whole.size() / 2));
  EXPECT_THAT(OpenError(), AllOf(HasSubstr("data.tfrecord.gz: record "),
                                 HasSubstr("(uncompressed)")));
  std::string damaged = whole;
  damaged[whole.size() / 2] ^= 0x55;
  WriteBytes(spec_.path(), damaged);
  EXPECT_THAT(OpenError(), HasSubstr("(uncompressed)"));
}

TEST_F(TfRecordTest, RecordsThatDifferAreNamed) {
  const auto write = [this](const std::shared_ptr<arrow::DataType>& type,
                            const std::string& values) {
    Write({JsonBatch(
        {{"x", type, values}, {"label", arrow::int8(), "[0, 1, 2]"}})});
  };
  write(arrow::list(arrow::float32()), "[[1, 2], [3, 4], [5]]");
  EXPECT_THAT(OpenError(), AllOf(HasSubstr("record 2 at byte"),
                                 HasSubstr("feature \"x\" has 1 values, and in "
                                           "the records before it 2")));
  write(arrow::int8(), "[1, null, 3]");
  EXPECT_THAT(OpenError(), HasSubstr("column \"x\" has a null in row 1"));
  write(arrow::binary(), R"(["ab", "cd", "e"])");
  EXPECT_THAT(OpenError(), HasSubstr("row 2 has another number of values"));
}

TEST_F(TfRecordTest, AFeatureThatIsNotThereIsNamed) {
  Write({ImageBatch(0, 2)});
  NameFeatures("imgae");
  EXPECT_THAT(OpenError(), HasSubstr("there is no column \"imgae\" (did you "
                                     "mean \"image\"?)"));
}

TEST_F(TfRecordTest, TypesThatAnExampleCannotHoldAreRefused) {
  const auto batch =
      JsonBatch({{"when", arrow::timestamp(arrow::TimeUnit::SECOND), "[1]"}});
  EXPECT_THAT(
      std::string(
          CreateTfRecord(spec_.path(), batch->schema()).status().message()),
      AllOf(HasSubstr("\"when\" has the type timestamp"),
            HasSubstr("a tf.Example holds")));
}

TEST_F(TfRecordTest, AllRecordsTellWhichListsDiffer) {
  Write({JsonBatch({{"even", arrow::list(arrow::int64()), "[[1, 2], [3, 4]]"},
                    {"one", arrow::list(arrow::int64()), "[[1], [3]]"},
                    {"ragged", arrow::list(arrow::float32()), "[[1], [3, 4]]"},
                    {"some", arrow::binary(), R"([null, "b"])"}})});
  auto reader = OpenTfRecord(spec_.path(), ExampleTypes::kAllRecords).value();
  EXPECT_EQ(reader->schema()->ToString(),
            "even: fixed_size_list<item: int64>[2]\none: int64\n"
            "ragged: list<item: float>\nsome: binary");
  const auto batch = reader->Next().value();
  EXPECT_EQ(batch->num_rows(), 2);
  EXPECT_EQ(batch->column(3)->null_count(), 1);
  EXPECT_EQ(reader->Next().value(), nullptr);
}

TEST_F(TfRecordTest, ImagesBecomeOneRowOfIntegers) {
  Write({JsonBatch({{"x",
                     arrow::fixed_size_list(
                         arrow::fixed_size_list(arrow::uint8(), 3), 2),
                     "[[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]"},
                    {"label", arrow::uint8(), "[0, 1]"}})
             ->Slice(1)});
  EXPECT_THAT(Features(), ElementsAre(7, 8, 9, 10, 11, 12));
}

}  // namespace
}  // namespace tfd::data
