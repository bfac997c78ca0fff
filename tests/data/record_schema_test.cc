#include "data/record_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/data/arrow_messages.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<RecordSchema> SchemaOf(
    const std::shared_ptr<arrow::RecordBatch>& batch,
    const ColumnNames& names = {{"x"}, "label"}) {
  return RecordSchema::Make(ToMessages({batch})[0].metadata, names);
}

// Decodes the batch on its own schema; `widths` as in Decode.
absl::StatusOr<RecordRows> Decode(
    const std::shared_ptr<arrow::RecordBatch>& batch,
    const ColumnNames& names = {{"x"}, "label"}, int64_t classes = 0,
    RowWidths* widths = nullptr) {
  RowWidths own;
  const auto messages = ToMessages({batch});
  auto schema = RecordSchema::Make(messages[0].metadata, names);
  if (!schema.ok()) return schema.status();
  return schema->Decode(messages[1].metadata, messages[1].body, 100, classes,
                        widths == nullptr ? &own : widths);
}

std::string Error(const std::shared_ptr<arrow::RecordBatch>& batch,
                  const ColumnNames& names = {{"x"}, "label"},
                  int64_t classes = 0) {
  return std::string(Decode(batch, names, classes).status().message());
}

template <typename T>
std::vector<T> Values(const ColumnView& view, int64_t rows) {
  std::vector<T> values(rows * view.width);
  std::memcpy(values.data(), view.base, values.size() * sizeof(T));
  return values;
}

const JsonColumn kLabels = {"label", arrow::uint8(), "[3, 4]"};

TEST(RecordSchemaTest, NumbersAreTakenAsTheyAre) {
  auto rows = Decode(JsonBatch({{"x", arrow::int16(), "[-7, 300]"}, kLabels}));
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->rows, 2);
  EXPECT_EQ(rows->features[0].dtype, Dtype::kInt16);
  EXPECT_THAT(Values<int16_t>(rows->features[0], 2), ElementsAre(-7, 300));
  EXPECT_EQ(LabelAt(rows->label, 0), 3);
  EXPECT_EQ(LabelAt(rows->label, 1), 4);
}

TEST(RecordSchemaTest, BooleansAreZeroAndOneAndHalvesAreFloats) {
  auto rows =
      Decode(JsonBatch({{"x", arrow::boolean(), "[true, false, true]"},
                        {"label", arrow::boolean(), "[false, true, true]"}}));
  ASSERT_TRUE(rows.ok()) << rows.status();
  // As float32: bytes would be scaled like those of images.
  EXPECT_EQ(rows->features[0].dtype, Dtype::kFloat32);
  EXPECT_THAT(Values<float>(rows->features[0], 3), ElementsAre(1, 0, 1));
  EXPECT_EQ(LabelAt(rows->label, 0), 0);
  EXPECT_EQ(LabelAt(rows->label, 1), 1);
  rows = Decode(JsonBatch({{"x", arrow::float16(), "[1.5, -2]"}, kLabels}));
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_THAT(Values<float>(rows->features[0], 2), ElementsAre(1.5, -2));
  for (const auto& type :
       {arrow::list(arrow::boolean()), arrow::large_list(arrow::boolean()),
        arrow::fixed_size_list(arrow::boolean(), 2)}) {
    rows = Decode(
        JsonBatch({{"x", type, "[[true, false], [true, true]]"}, kLabels}));
    ASSERT_TRUE(rows.ok()) << rows.status();
    EXPECT_THAT(Values<float>(rows->features[0], 2), ElementsAre(1, 0, 1, 1));
  }
}

TEST(RecordSchemaTest, DictionariesOfTablesAreDecoded) {
  const auto batch = [](const std::shared_ptr<arrow::DataType>& values,
                        const std::string& json) {
    return JsonBatch({{"x", arrow::dictionary(arrow::int8(), values), json},
                      {"label", arrow::uint8(), "[3, 4]"}});
  };
  const auto numbers = batch(arrow::int16(), "[300, -7]");
  auto schema = RecordSchema::OfTable(numbers->schema(), {{"x"}, "label"});
  ASSERT_TRUE(schema.ok()) << schema.status();
  RowWidths widths;
  auto rows = schema->ViewRows(numbers, {}, 0, &widths);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_THAT(Values<int16_t>(rows->features[0], 2), ElementsAre(300, -7));
  const auto texts = batch(arrow::utf8(), R"(["a", "b"])");
  EXPECT_THAT(
      std::string(RecordSchema::OfTable(texts->schema(), {{"x"}, "label"})
                      .status()
                      .message()),
      HasSubstr("StringIndexer"));
}

TEST(RecordSchemaTest, RowsWithNullsAreDroppedAndKeepTheirNumbers) {
  ColumnNames names = {{"x", "y"}, "label"};
  names.nulls.kind = NullPolicy::Kind::kDrop;
  const std::vector<JsonColumn> columns = {
      {"x", arrow::list(arrow::int8()),
       "[[1, 2], null, [3, null], [5, 6], [7, 8], [9, 9]]"},
      {"y", arrow::fixed_size_list(arrow::int8(), 1),
       "[[1], [2], [3], [4], [null], [6]]"},
      {"label", arrow::int8(), "[0, 1, 2, null, 4, 5]"}};
  RowWidths widths;
  auto rows = Decode(JsonBatch(columns), names, 0, &widths);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->rows, 2);
  EXPECT_EQ(rows->source_rows, 6);
  EXPECT_THAT(Values<int8_t>(rows->features[0], 2), ElementsAre(1, 2, 9, 9));
  EXPECT_THAT(Values<int8_t>(rows->features[1], 2), ElementsAre(1, 6));
  EXPECT_EQ(LabelAt(rows->label, 1), 5);
  EXPECT_EQ(rows->numbers.At(1), 105);
  // What is wrong with a row that stays is told by its number at the source.
  EXPECT_THAT(Error(JsonBatch(columns), names, 5),
              HasSubstr("label in row 105 is 5"));
}

TEST(RecordSchemaTest, ABatchOfNothingButNullsHasNoRows) {
  ColumnNames names = {{"x"}, "label"};
  names.nulls.kind = NullPolicy::Kind::kDrop;
  RowWidths widths;
  auto rows =
      Decode(JsonBatch({{"x", arrow::float32(), "[null, null]"}, kLabels}),
             names, 0, &widths);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->rows, 0);
  EXPECT_TRUE(widths.empty());
}

TEST(RecordSchemaTest, NullsOfEveryShapeAreFilled) {
  ColumnNames names = {{"x"}, "label"};
  names.nulls = {NullPolicy::Kind::kFill, 7};
  const auto filled = [&](const std::shared_ptr<arrow::DataType>& type,
                          const std::string& values) {
    RowWidths widths;
    auto rows = Decode(
        JsonBatch({{"x", type, values}, {"label", arrow::int8(), "[1, 2, 3]"}}),
        names, 0, &widths);
    EXPECT_TRUE(rows.ok()) << rows.status();
    return rows.ok() ? Values<int8_t>(rows->features[0], 3)
                     : std::vector<int8_t>();
  };
  const auto i8 = arrow::int8();
  EXPECT_THAT(filled(i8, "[1, null, 3]"), ElementsAre(1, 7, 3));
  for (const auto& type : {arrow::list(i8), arrow::large_list(i8),
                           arrow::fixed_size_list(i8, 2)}) {
    EXPECT_THAT(filled(type, "[null, [1, null], [3, 4]]"),
                ElementsAre(7, 7, 1, 7, 3, 4));
  }
  EXPECT_THAT(filled(arrow::fixed_size_list(arrow::fixed_size_list(i8, 2), 2),
                     "[[[1, 2], null], null, [[null, 3], [4, 5]]]"),
              ElementsAre(1, 2, 7, 7, 7, 7, 7, 7, 7, 3, 4, 5));
  for (const auto& type :
       {arrow::binary(), arrow::large_binary(), arrow::fixed_size_binary(2)}) {
    EXPECT_THAT(filled(type, R"(["ab", null, "cd"])"),
                ElementsAre('a', 'b', 7, 7, 'c', 'd'));
  }
}

TEST(RecordSchemaTest, WhatCannotBeFilledIsRefused) {
  ColumnNames names = {{"x"}, "label"};
  names.nulls = {NullPolicy::Kind::kFill, 0.5};
  EXPECT_THAT(
      Error(JsonBatch({{"x", arrow::int8(), "[1, null]"}, kLabels}), names),
      AllOf(HasSubstr("column \"x\""),
            HasSubstr("fill:0.5 is no number of the type int8")));
  names.nulls.fill = 300;
  EXPECT_THAT(
      Error(JsonBatch({{"x", arrow::uint8(), "[1, null]"}, kLabels}), names),
      HasSubstr("fill:300 is no number of the type uint8"));
  EXPECT_THAT(Error(JsonBatch({{"x", arrow::float32(), "[1, null]"},
                               {"label", arrow::int8(), "[1, null]"}}),
                    names),
              AllOf(HasSubstr("\"label\" has a null in row 101"),
                    HasSubstr("nulls: drop")));
  EXPECT_THAT(
      Error(JsonBatch({{"x", arrow::list(arrow::float32()), "[null, null]"},
                       kLabels}),
            names),
      HasSubstr("how many numbers to fill in"));
  EXPECT_THAT(
      Error(JsonBatch({{"x", arrow::list(arrow::float32()), "[[1, 2], [3]]"},
                       kLabels}),
            names),
      HasSubstr("row 101 has another number of values"));
}

TEST(RecordSchemaTest, PoliciesOfNullsAreReadFromTheirText) {
  EXPECT_EQ(NullPolicyOf("")->kind, NullPolicy::Kind::kRefuse);
  EXPECT_EQ(NullPolicyOf("drop")->kind, NullPolicy::Kind::kDrop);
  EXPECT_EQ(NullPolicyOf("fill:-1.5")->fill, -1.5);
  for (const char* wrong : {"fill", "fill:", "fill:x", "fill:inf", "skip"}) {
    EXPECT_THAT(std::string(NullPolicyOf(wrong).status().message()),
                HasSubstr("fill:0"))
        << wrong;
  }
}

TEST(RecordSchemaTest, ListsOfEveryKindAreRowsOfNumbers) {
  const auto f32 = arrow::float32();
  for (const auto& type : {arrow::list(f32), arrow::large_list(f32),
                           arrow::fixed_size_list(f32, 3)}) {
    auto rows =
        Decode(JsonBatch({{"x", type, "[[1, 2, 3], [4, 5, 6]]"}, kLabels}));
    ASSERT_TRUE(rows.ok()) << rows.status();
    EXPECT_EQ(rows->features[0].width, 3);
    EXPECT_THAT(Values<float>(rows->features[0], 2),
                ElementsAre(1, 2, 3, 4, 5, 6));
  }
}

TEST(RecordSchemaTest, BytesAreRowsOfUint8) {
  for (const auto& type :
       {arrow::binary(), arrow::large_binary(), arrow::fixed_size_binary(2)}) {
    auto rows = Decode(JsonBatch({{"x", type, R"(["ab", "cd"])"}, kLabels}));
    ASSERT_TRUE(rows.ok()) << rows.status();
    EXPECT_EQ(rows->features[0].dtype, Dtype::kUint8);
    EXPECT_THAT(Values<char>(rows->features[0], 2),
                ElementsAre('a', 'b', 'c', 'd'));
  }
}

TEST(RecordSchemaTest, ListsOfListsOfFixedSizeHaveTheirShape) {
  const auto type =
      arrow::fixed_size_list(arrow::fixed_size_list(arrow::uint8(), 3), 2);
  const auto batch = JsonBatch({{"x", type, "[[[1, 2, 3], [4, 5, 6]]]"},
                                {"label", arrow::int64(), "[1]"}});
  auto rows = Decode(batch);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_THAT(Values<uint8_t>(rows->features[0], 1),
              ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(SchemaOf(batch)->Shape({6}), ElementsAre(2, 3));
}

TEST(RecordSchemaTest, SeveralColumnsMakeOneRecord) {
  const auto batch = JsonBatch({{"b", arrow::float64(), "[0.5]"},
                                {"other", arrow::utf8(), R"(["text"])"},
                                {"a", arrow::int32(), "[7]"},
                                {"label", arrow::int8(), "[1]"}});
  const ColumnNames names = {{"a", "b"}, "label"};
  auto rows = Decode(batch, names);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->features.size(), 2u);
  EXPECT_EQ(rows->features[0].dtype, Dtype::kInt32);
  EXPECT_EQ(rows->features[1].dtype, Dtype::kFloat64);
  auto schema = SchemaOf(batch, names);
  EXPECT_EQ(schema->dtype(), Dtype::kFloat64);
  EXPECT_THAT(schema->Shape({1, 1}), ElementsAre(2));
}

TEST(RecordSchemaTest, ABatchWithoutRowsIsFine) {
  RowWidths widths;
  auto rows = Decode(ImageBatch(0, 0), ImageColumns(), 0, &widths);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->rows, 0);
  EXPECT_TRUE(widths.empty());
}

TEST(RecordSchemaTest, ColumnsThatAreNotThereShowBothSides) {
  const std::string error =
      Error(JsonBatch({{"imgae", arrow::binary(), R"(["a"])"},
                       {"label", arrow::int8(), "[1]"}}),
            ImageColumns());
  EXPECT_THAT(error, AllOf(HasSubstr("no column \"image\""),
                           HasSubstr("did you mean \"imgae\"?"),
                           HasSubstr("{features: image, label: label}"),
                           HasSubstr("{imgae: binary, label: int8}")));
}

TEST(RecordSchemaTest, TypesThatCannotBeTakenNameTheCast) {
  const auto error = [](const std::shared_ptr<arrow::DataType>& type,
                        const std::string& values) {
    return Error(JsonBatch({{"x", type, values}, kLabels}));
  };
  EXPECT_THAT(error(arrow::decimal128(5, 2), R"(["1.00", "2.00"])"),
              HasSubstr("cast it to float64"));
  EXPECT_THAT(error(arrow::date32(), "[1, 2]"), HasSubstr("cast it to int32"));
  EXPECT_THAT(error(arrow::timestamp(arrow::TimeUnit::SECOND), "[1, 2]"),
              HasSubstr("cast it to int64"));
  EXPECT_THAT(error(arrow::utf8(), R"(["1", "2"])"),
              AllOf(HasSubstr("the type string"), HasSubstr("StringIndexer")));
  EXPECT_THAT(error(arrow::map(arrow::utf8(), arrow::int8()),
                    R"([[["a", 1]], [["b", 2]]])"),
              HasSubstr("as columns of numbers"));
  EXPECT_THAT(error(arrow::list(arrow::utf8()), R"([["a"], ["b"]])"),
              HasSubstr("write numbers"));
  EXPECT_THAT(
      error(arrow::struct_({arrow::field("a", arrow::int8())}), "[[1], [2]]"),
      HasSubstr("as columns of numbers"));
  EXPECT_THAT(
      error(arrow::dictionary(arrow::int8(), arrow::utf8()), R"(["a", "b"])"),
      HasSubstr("dictionary_decode()"));
  EXPECT_THAT(
      Error(JsonBatch(
          {{"x", arrow::int8(), "[1]"}, {"label", arrow::float64(), "[1]"}})),
      AllOf(HasSubstr("cannot be the label"), HasSubstr("cast it to int64")));
}

TEST(RecordSchemaTest, NullsAreNamedWithTheirRow) {
  EXPECT_THAT(Error(JsonBatch({{"x", arrow::int8(), "[1, null]"}, kLabels})),
              HasSubstr("\"x\" has a null in row 101"));
  EXPECT_THAT(Error(JsonBatch({{"x", arrow::int8(), "[1, 2]"},
                               {"label", arrow::int8(), "[null, 1]"}})),
              HasSubstr("\"label\" has a null in row 100"));
  EXPECT_THAT(
      Error(JsonBatch(
          {{"x", arrow::list(arrow::int8()), "[[1, null], [1, 2]]"}, kLabels})),
      HasSubstr("nulls inside lists"));
  EXPECT_THAT(Error(JsonBatch({{"x", arrow::fixed_size_list(arrow::int8(), 2),
                                "[[1, 2], [1, null]]"},
                               kLabels})),
              HasSubstr("null"));
}

TEST(RecordSchemaTest, RowsOfAnotherSizeAreNamed) {
  EXPECT_THAT(
      Error(JsonBatch(
          {{"x", arrow::list(arrow::int8()), "[[1, 2], [3]]"}, kLabels})),
      HasSubstr("row 101 has another number of values"));
  EXPECT_THAT(
      Error(JsonBatch({{"x", arrow::binary(), R"(["", ""])"}, kLabels})),
      HasSubstr("row 100 has no values"));
  RowWidths widths = {5};
  EXPECT_THAT(std::string(Decode(ImageBatch(0, 2), ImageColumns(), 0, &widths)
                              .status()
                              .message()),
              HasSubstr("row 100 has 6 values, and the dataset's rows before "
                        "it have 5"));
}

TEST(RecordSchemaTest, LabelsThatAreNoClassesAreNamed) {
  const auto batch = [](const std::string& labels) {
    return JsonBatch(
        {{"x", arrow::int8(), "[1, 2]"}, {"label", arrow::int64(), labels}});
  };
  EXPECT_THAT(Error(batch("[0, -1]")), HasSubstr("label in row 101 is -1"));
  EXPECT_THAT(Error(batch("[10, 0]"), {{"x"}, "label"}, 10),
              AllOf(HasSubstr("label in row 100 is 10"), HasSubstr("0 to 9")));
  EXPECT_EQ(Error(batch("[10, 0]")), "");
}

TEST(RecordSchemaTest, CompressedBatchesAreRefusedInWords) {
  auto options = arrow::ipc::IpcWriteOptions::Defaults();
  options.codec =
      arrow::util::Codec::Create(arrow::Compression::ZSTD).ValueOrDie();
  const auto messages = ToMessages({ImageBatch(0, 1000)}, options);
  auto schema = RecordSchema::Make(messages[0].metadata, ImageColumns());
  ASSERT_TRUE(schema.ok()) << schema.status();
  RowWidths widths;
  EXPECT_THAT(
      std::string(
          schema->Decode(messages[1].metadata, messages[1].body, 0, 0, &widths)
              .status()
              .message()),
      AllOf(HasSubstr("is compressed"), HasSubstr("compression=None")));
}

TEST(RecordSchemaTest, DamagedMessagesAreRefusedAndHarmNobody) {
  const auto messages = ToMessages({ImageBatch(0, 20)});
  auto schema = RecordSchema::Make(messages[0].metadata, ImageColumns());
  ASSERT_TRUE(schema.ok()) << schema.status();
  // Every byte of the metadata and of the body (the lists' offsets are in it),
  // changed in turn: refused, or rows that lie within the body.
  const auto try_decode = [&](const std::string& metadata,
                              const std::string& body) {
    RowWidths widths;
    auto body_buffer = arrow::Buffer::FromString(body);
    auto rows = schema->Decode(arrow::Buffer::FromString(metadata), body_buffer,
                               0, 0, &widths);
    if (!rows.ok() || rows->rows == 0) return;
    const auto* begin = reinterpret_cast<const std::byte*>(body_buffer->data());
    const ColumnView& view = rows->features[0];
    EXPECT_GE(view.base, begin);
    EXPECT_LE(view.base + rows->rows * view.width, begin + body.size());
    EXPECT_LE(rows->label.base + rows->rows, begin + body.size());
  };
  const std::string metadata = messages[1].metadata->ToString();
  const std::string body = messages[1].body->ToString();
  for (const int flip : {1, 0x40, 0x80, 0xff}) {
    for (size_t i = 0; i < metadata.size(); ++i) {
      std::string damaged = metadata;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      try_decode(damaged, body);
    }
    for (size_t i = 0; i < body.size(); ++i) {
      std::string damaged = body;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      try_decode(metadata, damaged);
    }
  }
  RowWidths widths;
  EXPECT_THAT(
      std::string(schema
                      ->Decode(messages[1].metadata,
                               arrow::Buffer::FromString(body.substr(8)), 0, 0,
                               &widths)
                      .status()
                      .message()),
      HasSubstr("promises a body of"));
}

TEST(RecordSchemaTest, ASchemaIsNoRecordBatchAndTheOtherWayRound) {
  const auto messages = ToMessages({ImageBatch(0, 2)});
  EXPECT_FALSE(RecordSchema::Make(messages[1].metadata, ImageColumns()).ok());
  auto schema = RecordSchema::Make(messages[0].metadata, ImageColumns());
  RowWidths widths;
  EXPECT_THAT(
      std::string(
          schema->Decode(messages[0].metadata, messages[0].body, 0, 0, &widths)
              .status()
              .message()),
      HasSubstr("expected a record batch"));
}

TEST(RecordSchemaTest, RecordsOfOtherTypesAreNotOfOneDataset) {
  const auto schema = [](const std::shared_ptr<arrow::DataType>& type) {
    return *SchemaOf(
        JsonBatch({{"x", type, "[1]"}, {"label", arrow::int8(), "[1]"}}));
  };
  EXPECT_TRUE(
      schema(arrow::int8()).CheckSameRecords(schema(arrow::int8())).ok());
  EXPECT_THAT(std::string(schema(arrow::int8())
                              .CheckSameRecords(schema(arrow::float32()))
                              .message()),
              AllOf(HasSubstr("x: int8"), HasSubstr("x: float")));
}

}  // namespace
}  // namespace tfd::data
