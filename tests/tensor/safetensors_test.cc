#include "tensor/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <random>

#include "common/crc32c.h"
#include "common/testing/temp_folder.h"

namespace tfd::tensor {
namespace {

using ::testing::HasSubstr;

std::vector<float> Numbers(size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.5f);
  return values;
}

class SafetensorsTest : public ::testing::Test {
 protected:
  absl::StatusOr<WrittenFile> Write(
      const std::vector<TensorToWrite>& tensors,
      const std::map<std::string, std::string>& metadata = {}) {
    auto file = LocalFileSystem()->OpenForWriting(path_);
    EXPECT_TRUE(file.ok()) << file.status();
    absl::StatusOr<WrittenFile> written =
        WriteSafetensors(tensors, metadata, **file);
    if (written.ok()) {
      EXPECT_TRUE((*file)->Commit().ok());
    }
    return written;
  }

  absl::StatusOr<SafetensorsReader> Open() {
    auto file = LocalFileSystem()->OpenForReading(path_);
    EXPECT_TRUE(file.ok()) << file.status();
    return SafetensorsReader::Open(*std::move(file), "x.safetensors");
  }

  // A file with this header, so many bytes of data after it.
  absl::StatusOr<SafetensorsReader> OpenHeader(const std::string& header,
                                               size_t data_bytes) {
    std::string bytes(8, '\0');
    const uint64_t length = header.size();
    std::memcpy(bytes.data(), &length, sizeof(length));
    bytes += header + std::string(data_bytes, '\1');
    EXPECT_TRUE(WriteFileAtomically(*LocalFileSystem(), path_, bytes).ok());
    return Open();
  }

  testing::TempFolder folder_;
  const std::string path_ = folder_ / "x.safetensors";
};

TEST_F(SafetensorsTest, WhatIsWrittenIsReadBack) {
  const std::vector<float> a = Numbers(12);
  const std::vector<float> b = Numbers(7);
  const std::vector<int64_t> counts = {42};
  const auto written =
      Write({{"a",
              DType::kF32,
              {3, 4},
              {AsBytes({a.data(), 5}), AsBytes({a.data() + 5, 7})}},
             {"empty", DType::kF32, {0, 9}, {}},
             {"count",
              DType::kI64,
              {},
              {{reinterpret_cast<const std::byte*>(counts.data()), 8}}},
             {"b", DType::kF32, {7}, {AsBytes(b)}}},
            {{"format", "pt"}});
  ASSERT_TRUE(written.ok()) << written.status();
  const auto reader = Open();
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->size_bytes(), written->size_bytes);
  EXPECT_EQ(*reader->Crc32c(), written->crc32c);
  const auto bytes = ReadFile(*LocalFileSystem(), path_);
  EXPECT_EQ(Crc32c(*bytes), written->crc32c);
  EXPECT_EQ(reader->metadata().at("format"), "pt");
  ASSERT_EQ(reader->tensors().size(), 4u);
  const TensorEntry* entry = *reader->Find("a");
  EXPECT_EQ(entry->shape, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(entry->offset_bytes % 8, 0u);
  std::vector<float> read(5);
  ASSERT_TRUE(reader->ReadFloats(*entry, 4, absl::MakeSpan(read)).ok());
  EXPECT_EQ(read, std::vector<float>(a.begin() + 4, a.begin() + 9));
  int64_t count = 0;
  ASSERT_TRUE(reader
                  ->ReadBytes(**reader->Find("count"),
                              {reinterpret_cast<std::byte*>(&count), 8})
                  .ok());
  EXPECT_EQ(count, 42);
  EXPECT_EQ((*reader->Find("empty"))->elements, 0u);
}

TEST_F(SafetensorsTest, ReadsBeyondATensorOrOfAnotherTypeAreRefused) {
  const std::vector<float> a = Numbers(4);
  ASSERT_TRUE(Write({{"a", DType::kF32, {4}, {AsBytes(a)}},
                     {"i", DType::kI32, {4}, {AsBytes(a)}}})
                  .ok());
  const auto reader = Open();
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<float> out(3);
  EXPECT_FALSE(
      reader->ReadFloats(**reader->Find("a"), 2, absl::MakeSpan(out)).ok());
  EXPECT_FALSE(
      reader->ReadFloats(**reader->Find("i"), 0, absl::MakeSpan(out)).ok());
  EXPECT_EQ(reader->Find("b").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SafetensorsTest, TensorsThatDoNotFitAreNotWritten) {
  const std::vector<float> a = Numbers(4);
  EXPECT_FALSE(Write({{"a", DType::kF32, {5}, {AsBytes(a)}}}).ok());
  EXPECT_FALSE(Write({{"a", DType::kF32, {4}, {AsBytes(a)}},
                      {"a", DType::kF32, {4}, {AsBytes(a)}}})
                   .ok());
  EXPECT_FALSE(Write({{"__metadata__", DType::kF32, {4}, {AsBytes(a)}}}).ok());
}

TEST_F(SafetensorsTest, HostileFilesAreRefusedByName) {
  const auto one = [](const std::string& entry) {
    return "{\"w\":" + entry + "}";
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "no JSON object"},
      {"[1]", "no JSON object"},
      {"{\"w\":", "no JSON object"},
      {one("3"), "tensor w is no object"},
      {one("{}"), "tensor w has no dtype"},
      {one(R"({"dtype":"F99","shape":[4],"data_offsets":[0,16]})"), "F99"},
      {one(R"({"dtype":"F32","shape":4,"data_offsets":[0,16]})"), "no shape"},
      {one(R"({"dtype":"F32","shape":[-4],"data_offsets":[0,16]})"),
       "no list of sizes"},
      {one(R"({"dtype":"F32","shape":[4],"data_offsets":[0]})"),
       "no valid data_offsets"},
      {one(R"({"dtype":"F32","shape":[4],"data_offsets":[16,0]})"),
       "no valid data_offsets"},
      {one(R"({"dtype":"F32","shape":[4],"data_offsets":[0,1e99]})"),
       "no valid data_offsets"},
      {one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,16]})"),
       "do not fit its shape"},
      {one(R"({"dtype":"F32","shape":[9223372036854775807,4],)"
           R"("data_offsets":[0,16]})"),
       "do not fit its shape"},
      {one(R"({"dtype":"F32","shape":[4611686018427387908],)"
           R"("data_offsets":[0,16]})"),
       "do not fit its shape"},
      {one(R"({"dtype":"F32","shape":[3],"data_offsets":[4,16]})"),
       "begins at 4"},
      {one(R"({"dtype":"F32","shape":[40],"data_offsets":[0,160]})"),
       "ends beyond"},
      {one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,12]})"),
       "16 bytes of data, but its tensors have 12"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},)"
       R"("b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})",
       "tensor b begins at 8 where the one before it ends at 12"},
      {R"({"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},)"
       R"("w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})",
       "names a tensor twice"},
      {R"({"__metadata__":{"a":1},)"
       R"("w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})",
       "no text"}};
  for (const auto& [header, words] : cases) {
    const absl::Status status = OpenHeader(header, 16).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << header;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("x.safetensors"), HasSubstr(words)));
  }
  for (const std::string& bytes :
       {std::string("abc"), std::string(8, '\xff'), std::string(100, '\xff'),
        std::string("\x40\0\0\0\0\0\0\0{}", 10)}) {
    ASSERT_TRUE(WriteFileAtomically(*LocalFileSystem(), path_, bytes).ok());
    EXPECT_EQ(Open().status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(SafetensorsTest, NoChangedBytesDoHarm) {
  const std::vector<float> a = Numbers(40);
  ASSERT_TRUE(Write({{"a", DType::kF32, {4, 10}, {AsBytes(a)}},
                     {"b", DType::kF32, {40}, {AsBytes(a)}}},
                    {{"k", "v"}})
                  .ok());
  const std::string good = *ReadFile(*LocalFileSystem(), path_);
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::string bytes = good.substr(0, random() % (good.size() + 1));
    for (int i = 0; i < 2 && !bytes.empty(); ++i) {
      bytes[random() % std::min<size_t>(bytes.size(), 200)] =
          static_cast<char>(random());
    }
    ASSERT_TRUE(WriteFileAtomically(*LocalFileSystem(), path_, bytes).ok());
    const auto reader = Open();
    if (!reader.ok()) continue;
    for (const TensorEntry& entry : reader->tensors()) {
      std::vector<std::byte> out(entry.size_bytes);
      EXPECT_TRUE(reader->ReadBytes(entry, absl::MakeSpan(out)).ok());
    }
  }
}

}  // namespace
}  // namespace tfd::tensor
