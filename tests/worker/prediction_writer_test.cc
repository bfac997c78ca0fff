#include "worker/prediction_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/fs/file_system.h"
#include "common/testing/temp_folder.h"
#include "tests/worker/worker_testing.h"

namespace tfd::worker {
namespace {

using ::testing::HasSubstr;

// An answer, one with the outputs of a layer, and one that failed.
std::string Written(const std::string& name, const PredictionForm& form) {
  const testing::TempFolder folder;
  const auto writer = Must(PredictionWriter::Create(folder / name, form));
  const float layer[] = {0.5F, std::numeric_limits<float>::infinity()};
  Prediction one;
  one.top = {{1, 0.75}, {0, 0.25}};
  if (!form.layers.empty()) one.layers = {layer};
  EXPECT_TRUE(writer->Add(one).ok());
  if (form.errors) {
    Prediction none;
    none.error = "row 1: \"x\", broken";
    EXPECT_TRUE(writer->Add(none).ok());
  }
  EXPECT_FALSE(LocalFileSystem()->Stat(folder / name).ok());
  EXPECT_TRUE(writer->Finish().ok());
  return Must(ReadFile(*LocalFileSystem(), folder / name));
}

TEST(PredictionWriterTest, JsonLinesHaveOutputsAndErrors) {
  const std::vector<std::string> names = {"a \"cat\"", "dog\xff"};
  PredictionForm form;
  form.top_k = 2;
  form.first_row = 7;
  form.names = names;
  form.layers = {{"fc.1", {2}}};
  form.errors = true;
  // What is no UTF-8 is replaced; what is no number is null.
  EXPECT_EQ(
      Written("p.jsonl", form),
      "{\"row\": 7, \"predictions\": [{\"label\": \"dog\xEF\xBF\xBD\", "
      "\"probability\": 0.750000}, {\"label\": \"a \\\"cat\\\"\", "
      "\"probability\": 0.250000}], \"outputs\": {\"fc.1\": [0.5, null]}}\n"
      "{\"row\": 8, \"error\": \"row 1: \\\"x\\\", broken\"}\n");
}

TEST(PredictionWriterTest, CsvLeavesTheCellsOfARowWithAnErrorEmpty) {
  PredictionForm form;
  form.top_k = 2;
  form.errors = true;
  EXPECT_EQ(Written("p.csv", form),
            "row,label_1,probability_1,label_2,probability_2,error\n"
            "0,1,0.750000,0,0.250000,\n"
            "1,,,,,\"row 1: \"\"x\"\", broken\"\n");
}

TEST(PredictionWriterTest, ALayerWithAColumnsNameIsRefusedInParquet) {
  const testing::TempFolder folder;
  PredictionForm form;
  form.layers = {{"prediction", {2}}};
  const auto writer = PredictionWriter::Create(folder / "p.parquet", form);
  EXPECT_THAT(std::string(writer.status().message()),
              HasSubstr("the layer \"prediction\""));
}

}  // namespace
}  // namespace tfd::worker
