#include "data/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "common/fs/file_system.h"
#include "common/testing/temp_folder.h"
#include "tests/data/idx_files.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ConvertTest : public ::testing::Test {
 protected:
  ConvertTest() { WriteImages(folder_ / "images", folder_ / "labels", 1000); }

  absl::StatusOr<int64_t> Convert(const std::string& input,
                                  const std::string& output,
                                  const std::string& labels = "") {
    options_.input = folder_ / input;
    options_.output = folder_ / output;
    options_.labels = labels.empty() ? "" : folder_ / labels;
    return ConvertFiles(options_, [](int64_t) { return absl::OkStatus(); });
  }
  std::string Error(const std::string& input, const std::string& output,
                    const std::string& labels = "") {
    return std::string(Convert(input, output, labels).status().message());
  }
  std::string Text(const std::string& name) {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file),
            std::istreambuf_iterator<char>()};
  }
  void Make(const std::string& name, const std::string& text) {
    WriteBytes(folder_ / name, text);
  }
  size_t FileCount() { return LocalFileSystem()->List(folder_ / "")->size(); }

  testing::TempFolder folder_;
  ConvertOptions options_;
};

TEST_F(ConvertTest, ImagesGoThroughEveryFormatAndBack) {
  // What is known only in the header of IDX: 2 × 3 becomes 6.
  const std::string flat =
      IdxHeader(0x08, {1000, 6}) + Text("images").substr(16);
  for (const std::string name :
       {"a.csv", "a.parquet", "a.arrow", "a.tfrecord", "a.tfrecord.gz"}) {
    options_.from = "idx";
    options_.to = "";
    const auto there = Convert("images", name, "labels");
    ASSERT_TRUE(there.ok()) << name << ": " << there.status();
    EXPECT_EQ(*there, 1000);
    options_.from = "";
    options_.to = "idx";
    const auto back = Convert(name, "images-again", "labels-again");
    ASSERT_TRUE(back.ok()) << name << ": " << back.status();
    EXPECT_EQ(Text("images-again"),
              absl::EndsWith(name, "arrow") ? Text("images") : flat)
        << name;
    EXPECT_EQ(Text("labels-again"), Text("labels")) << name;
  }
}

TEST_F(ConvertTest, TablesGoFromOneFormatToTheOther) {
  const std::string csv =
      "name,a,b\nx,1,0.5\n\"y, z\",-2,1.5\n,9000000000,-0.25\n";
  Make("0.csv", csv);
  std::string from = "0.csv";
  for (const std::string to :
       {"1.parquet", "2.arrow", "3.parquet", "4.arrow", "5.csv"}) {
    const auto records = Convert(from, to);
    ASSERT_TRUE(records.ok()) << to << ": " << records.status();
    from = to;
  }
  EXPECT_EQ(Text("5.csv"),
            "\"name\",\"a\",\"b\"\n\"x\",1,0.5\n\"y, z\",-2,1.5\n"
            "\"\",9000000000,-0.25\n");
}

TEST_F(ConvertTest, ExamplesBecomeColumnsInTheOrderOfNames) {
  Make("0.csv", "b,a\n1,0.5\n2,1.5\n");
  ASSERT_TRUE(Convert("0.csv", "1.tfrecord").ok());
  ASSERT_TRUE(Convert("1.tfrecord", "2.csv").ok());
  EXPECT_EQ(Text("2.csv"), "\"a\",\"b\"\n0.5,1\n1.5,2\n");
}

TEST_F(ConvertTest, SeveralFilesBecomeOne) {
  Make("part-1.csv", "a,b\n1,2\n");
  Make("part-2.csv", "a,b\n3,4\n");
  ASSERT_TRUE(Convert("part-*.csv", "all.csv").ok());
  EXPECT_EQ(Text("all.csv"), "\"a\",\"b\"\n1,2\n3,4\n");
  Make("part-2.csv", "a,c\n3,4\n");
  EXPECT_THAT(Error("part-*.csv", "all.csv"),
              AllOf(HasSubstr("part-2.csv"), HasSubstr("has not the columns")));
}

TEST_F(ConvertTest, OnlySomeColumns) {
  Make("a.csv", "a,b,c\n1,x,2\n");
  for (const std::string via : {"a.csv", "a.parquet", "a.arrow"}) {
    options_.columns = "";
    if (via != "a.csv") {
      ASSERT_TRUE(Convert("a.csv", via).ok());
    }
    options_.columns = "c, a";
    ASSERT_TRUE(Convert(via, "some.csv").ok()) << via;
    EXPECT_EQ(Text("some.csv"), "\"a\",\"c\"\n1,2\n") << via;
  }
  options_.columns = "c,bb";
  EXPECT_THAT(Error("a.csv", "some.csv"),
              AllOf(HasSubstr("no column \"bb\""), HasSubstr("mean \"b\"?")));
}

TEST_F(ConvertTest, NumbersGetTheSmallestTypeOfIdx) {
  const auto head = [&](const std::string& csv) {
    Make("n.csv", csv);
    const auto records = Convert("n.csv", "n.idx");
    EXPECT_TRUE(records.ok()) << records.status();
    return Text("n.idx");
  };
  EXPECT_EQ(head("a\n0\n255\n"),
            IdxHeader(0x08, {2, 1}) + std::string("\0\xff", 2));
  EXPECT_EQ(head("a\n0\n-1\n"),
            IdxHeader(0x09, {2, 1}) + std::string("\0\xff", 2));
  EXPECT_EQ(head("a,b\n256,-2\n"),
            IdxHeader(0x0b, {1, 2}) + std::string("\1\0\xff\xfe", 4));
  EXPECT_EQ(head("a\n0.5\n"),
            IdxHeader(0x0e, {1, 1}) + std::string("\x3f\xe0\0\0\0\0\0\0", 8));
  Make("n.csv", "a\n9000000000\n");
  EXPECT_THAT(Error("n.csv", "n.idx"), HasSubstr("cast them to float64"));
}

TEST_F(ConvertTest, WhatCannotBeConvertedSaysWhatToDo) {
  EXPECT_THAT(Error("images", "a.csv"), HasSubstr("add --from"));
  EXPECT_THAT(Error("a.csv", "out"), HasSubstr("add --to"));
  EXPECT_THAT(Error("a.idx", "b.idx"), HasSubstr("nothing to convert"));
  EXPECT_THAT(Error("a.csv", "b.parquet", "labels"),
              HasSubstr("--labels is for idx"));
  Make("l.csv", "a,label\n1,2\n");
  EXPECT_THAT(Error("l.csv", "l.idx"), HasSubstr("add --labels FILE"));
  Make("l.csv", "a,class\n1,2\n");
  EXPECT_THAT(Error("l.csv", "l.idx", "l-labels"), HasSubstr("--label-column"));
  Make("text.csv", "a\nx\n");
  EXPECT_THAT(Error("text.csv", "l.idx"),
              HasSubstr("\"a\" has the type string"));
  options_.to = "docx";
  EXPECT_THAT(Error("l.csv", "l.docx"), HasSubstr("\"docx\" is not known"));
}

TEST_F(ConvertTest, NothingAppearsOfAConversionThatFails) {
  Make("a.csv", "a,b\n1,2\n3,4,5\n");
  const size_t before = FileCount();
  EXPECT_THAT(Error("a.csv", "a.parquet"), HasSubstr("a.csv:3: has 3 values"));
  options_.input = folder_ / "images";
  options_.from = "idx";
  const auto stopped = ConvertFiles(
      options_, [](int64_t) { return absl::CancelledError("interrupted"); });
  EXPECT_EQ(stopped.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(FileCount(), before);
}

}  // namespace
}  // namespace tfd::data
