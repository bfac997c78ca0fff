#include <arrow/io/file.h>
#include <arrow/util/compression.h>

#include "data/ipc_file.h"
#include "tests/data/table_testing.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

enum class IpcKind { kFile, kStream };

class ArrowIpcTest : public TableTest {
 protected:
  ArrowIpcTest() : TableTest(v1::DatasetSpec::ARROW, "data.arrow") {
    data_.add_preprocess()->set_scale(1);
  }

  // As other programs write it.
  void Write(
      IpcKind kind,
      const std::vector<std::shared_ptr<arrow::RecordBatch>>& batches,
      arrow::Compression::type compression = arrow::Compression::UNCOMPRESSED) {
    auto options = arrow::ipc::IpcWriteOptions::Defaults();
    if (compression != arrow::Compression::UNCOMPRESSED) {
      options.codec = arrow::util::Codec::Create(compression).ValueOrDie();
    }
    const auto sink =
        arrow::io::FileOutputStream::Open(spec_.path()).ValueOrDie();
    const auto schema = batches[0]->schema();
    const auto writer =
        (kind == IpcKind::kFile
             ? arrow::ipc::MakeFileWriter(sink, schema, options)
             : arrow::ipc::MakeStreamWriter(sink, schema, options))
            .ValueOrDie();
    for (const auto& batch : batches) {
      ASSERT_TRUE(writer->WriteRecordBatch(*batch).ok());
    }
    ASSERT_TRUE(writer->Close().ok());
    ASSERT_TRUE(sink->Close().ok());
  }
};

TEST_F(ArrowIpcTest, FilesAndStreamsAreReadCompressedOrNot) {
  for (const IpcKind kind : {IpcKind::kFile, IpcKind::kStream}) {
    for (const auto compression :
         {arrow::Compression::UNCOMPRESSED, arrow::Compression::ZSTD,
          arrow::Compression::LZ4_FRAME}) {
      Write(kind, {ImageBatch(0, 400), ImageBatch(400, 401)}, compression);
      const std::vector<float> features = Features();
      ASSERT_EQ(features.size(), 401u * 6);
      for (size_t i = 0; i < features.size(); ++i) {
        ASSERT_EQ(features[i], static_cast<uint8_t>(i / 6 + i % 6)) << i;
      }
      EXPECT_EQ(LabelsRead()[400], 0);
      EXPECT_EQ(LabelsRead()[399], 9);
    }
  }
}

TEST_F(ArrowIpcTest, OnlyTheColumnsThatAreNamedAreRead) {
  NameFeatures("b,a");
  for (const IpcKind kind : {IpcKind::kFile, IpcKind::kStream}) {
    Write(kind,
          {JsonBatch({{"name", arrow::utf8(), R"(["x", null])"},
                      {"kind", arrow::dictionary(arrow::int8(), arrow::utf8()),
                       R"(["p", "q"])"},
                      {"a", arrow::int32(), "[1, 3]"},
                      {"label", arrow::uint8(), "[0, 1]"},
                      {"b", arrow::float32(), "[2, 4]"}})});
    EXPECT_THAT(Features(), ElementsAre(2, 1, 4, 3));
    EXPECT_THAT(LabelsRead(), ElementsAre(0, 1));
  }
}

TEST_F(ArrowIpcTest, ImagesKeepTheirShape) {
  Write(IpcKind::kFile,
        {JsonBatch({{"x",
                     arrow::fixed_size_list(
                         arrow::fixed_size_list(arrow::uint8(), 3), 2),
                     "[[[1, 2, 3], [4, 5, 6]]]"},
                    {"label", arrow::uint8(), "[0]"}})});
  EXPECT_THAT(Features(), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(info_.shape, ElementsAre(2, 3));
}

TEST_F(ArrowIpcTest, WhatIsMappedIsNotCountedAsMemory) {
  options_.max_memory_bytes = 1000;
  Write(IpcKind::kFile, {ImageBatch(0, 5000)});
  EXPECT_EQ(Features().size(), 5000u * 6);
  Write(IpcKind::kFile, {ImageBatch(0, 5000)}, arrow::Compression::ZSTD);
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(OpenError(), HasSubstr("held in memory"));
}

TEST_F(ArrowIpcTest, BadValuesAreNamedWithBatchRowAndColumn) {
  const JsonColumn labels = {"label", arrow::uint8(), "[0, 1]"};
  const auto good = JsonBatch({{"x", arrow::int8(), "[1, 2]"}, labels});
  Write(IpcKind::kFile,
        {good, JsonBatch({{"x", arrow::int8(), "[1, null]"}, labels})});
  EXPECT_THAT(OpenError(), HasSubstr("data.arrow: record batch 1: column \"x\" "
                                     "has a null in row 3"));
  options_.classes = 1;
  Write(IpcKind::kStream, {good});
  EXPECT_THAT(OpenError(), HasSubstr("the label in row 1 is 1"));
}

TEST_F(ArrowIpcTest, WhatIsNoWholeFileIsRefused) {
  WriteBytes(spec_.path(), "");
  EXPECT_THAT(OpenError(), HasSubstr("data.arrow: is empty"));
  WriteBytes(spec_.path(), "nothing of Arrow's at all");
  EXPECT_THAT(OpenError(),
              HasSubstr("data.arrow: is no whole file of Arrow's"));
  Write(IpcKind::kFile, {ImageBatch(0, 1000)});
  const std::string whole = Contents(spec_.path());
  WriteBytes(spec_.path(), whole.substr(0, whole.size() / 2));
  EXPECT_THAT(OpenError(), HasSubstr("is no whole file of Arrow's"));
  Write(IpcKind::kStream, {ImageBatch(0, 1000)});
  const std::string stream = Contents(spec_.path());
  WriteBytes(spec_.path(), stream.substr(0, stream.size() / 2));
  EXPECT_THAT(OpenError(), HasSubstr("record batch 0 cannot be read"));
}

TEST_F(ArrowIpcTest, NoDamageEndsTheProcess) {
  for (const IpcKind kind : {IpcKind::kFile, IpcKind::kStream}) {
    Write(kind, {ImageBatch(0, 40), ImageBatch(40, 80)});
    const std::string whole = Contents(spec_.path());
    for (size_t i = 0; i < whole.size(); ++i) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
      WriteBytes(spec_.path(), damaged);
      const auto dataset = Open();
      if (dataset.ok()) Features();
    }
  }
}

TEST_F(ArrowIpcTest, WhatIsWrittenIsReadAgain) {
  auto writer = CreateIpcFile(spec_.path(), ImageBatch(0, 1)->schema()).value();
  ASSERT_TRUE(writer->Write(*ImageBatch(0, 3)).ok());
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(Features().size(), 18u);
  EXPECT_THAT(LabelsRead(), ElementsAre(0, 1, 2));
}

}  // namespace
}  // namespace tfd::data
