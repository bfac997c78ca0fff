#include "worker/predict.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/str_split.h"
#include "common/fs/file_system.h"
#include "common/testing/temp_folder.h"
#include "data/parquet_file.h"
#include "tests/worker/worker_testing.h"
#include "worker/exporter.h"
#include "worker/job_data.h"
#include "worker/prediction.h"

namespace tfd::worker {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kRecords = 33;

absl::Status GoOn(int64_t, int64_t) { return absl::OkStatus(); }

std::vector<std::string> LinesOf(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

class PredictTest : public ::testing::Test {
 protected:
  PredictTest() {
    for (const char* name : {"train", "validation"}) {
      WriteQuarters(absl::StrCat(folder_.path(), "/", name, "-images"),
                    absl::StrCat(folder_.path(), "/", name, "-labels"),
                    kRecords);
    }
    const v1::JobSpec spec = TestJob(folder_.path(), v1::ModelSpec::CNN, 1);
    const InputFacts facts = FactsOf(Must(OpenTraining(spec, {}))->info());
    model_ = MakeModel(spec.model(), facts.shape, 4);
    ModelDescription description;
    description.job = "job";
    description.input = model_->input();
    description.classes = model_->classes();
    description.preprocess = facts.preprocess;
    Must(WriteExport(Must(ResolveUri(folder_.path())), description,
                     model_.get()));
    options_.model = folder_.path();
    options_.format = "idx";
    options_.input = folder_ / "validation-images";
    options_.output = folder_ / "out.csv";
    options_.batch_size = 8;
  }

  // What the model itself says of record `number`.
  std::vector<LabelProbability> Expected(uint64_t number, int64_t k) {
    const v1::JobSpec spec = TestJob(folder_.path(), v1::ModelSpec::CNN, 1);
    const auto dataset = Must(OpenTraining(spec, {}));
    data::Batch batch;
    EXPECT_TRUE(dataset->ReadBatch({number}, &batch).ok());
    std::vector<float> logits;
    EXPECT_TRUE(model_->Forward({batch.features(), nullptr, 1}, &logits).ok());
    return TopLabels(logits, k);
  }

  const testing::TempFolder folder_;
  std::unique_ptr<Model> model_;
  PredictOptions options_;
};

TEST_F(PredictTest, EveryRecordHasItsLineInOrder) {
  const PredictSummary summary = Must(Predict(options_, GoOn));
  EXPECT_EQ(summary.records, kRecords);
  EXPECT_FALSE(summary.accuracy.has_value());
  const std::vector<std::string> lines = LinesOf(options_.output);
  ASSERT_EQ(lines.size(), kRecords + 1);
  EXPECT_EQ(lines[0], "row,label,probability");
  for (uint32_t row = 0; row < kRecords; ++row) {
    const std::vector<std::string> cells = absl::StrSplit(lines[row + 1], ',');
    ASSERT_EQ(cells.size(), 3u);
    EXPECT_EQ(cells[0], std::to_string(row));
    const auto expected = Expected(row, 1);
    EXPECT_EQ(cells[1], std::to_string(expected[0].label));
    EXPECT_NEAR(std::stod(cells[2]), expected[0].probability, 1e-5);
  }
}

TEST_F(PredictTest, TopKAndAccuracyWithLabels) {
  options_.top_k = 3;
  options_.labels = folder_ / "validation-labels";
  options_.output = folder_ / "out.jsonl";
  const PredictSummary summary = Must(Predict(options_, GoOn));
  const v1::JobSpec spec = TestJob(folder_.path(), v1::ModelSpec::CNN, 1);
  const auto dataset = Must(OpenTraining(spec, {}));
  int correct = 0;
  for (uint64_t row = 0; row < kRecords; ++row) {
    int64_t label = 0;
    ASSERT_TRUE(dataset->ReadLabels({row}, &label).ok());
    correct += Expected(row, 1)[0].label == label;
  }
  ASSERT_TRUE(summary.accuracy.has_value());
  EXPECT_DOUBLE_EQ(*summary.accuracy, correct / double{kRecords});
  const std::vector<std::string> lines = LinesOf(options_.output);
  ASSERT_EQ(lines.size(), kRecords);
  const auto top = Expected(0, 3);
  EXPECT_THAT(lines[0], HasSubstr(absl::StrCat("{\"row\": 0, \"predictions\": "
                                               "[{\"label\": ",
                                               top[0].label)));
  EXPECT_THAT(lines[0], HasSubstr(absl::StrCat("\"label\": ", top[2].label)));
}

TEST_F(PredictTest, CsvTakesTheSamePreprocessingAndNamesTheLabelColumn) {
  std::ostringstream csv;
  for (uint32_t p = 0; p < 64; ++p) csv << "p" << p << ",";
  csv << "label\n";
  for (uint32_t p = 0; p < 64; ++p) csv << p * 3 % 255 << ",";
  csv << "2\n";
  data::WriteBytes(folder_ / "in.csv", csv.str());
  options_.format = "csv";
  options_.input = folder_ / "in.csv";
  const absl::Status status = Predict(options_, GoOn).status();
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("65"), HasSubstr("--label-column")));
  options_.label_column = "label";
  const PredictSummary summary = Must(Predict(options_, GoOn));
  EXPECT_EQ(summary.records, 1);
  EXPECT_TRUE(summary.accuracy.has_value());
  std::vector<float> features(64);
  for (uint32_t p = 0; p < 64; ++p) features[p] = (p * 3 % 255) / 255.0f;
  std::vector<float> logits;
  ASSERT_TRUE(model_->Forward({features.data(), nullptr, 1}, &logits).ok());
  const auto expected = TopLabels(logits, 1);
  EXPECT_THAT(LinesOf(options_.output)[1],
              HasSubstr(absl::StrCat("0,", expected[0].label, ",")));
}

TEST_F(PredictTest, ParquetHasARowForEachRecord) {
  options_.top_k = 2;
  options_.layers = {"fc2", "conv1"};
  options_.output = folder_ / "out.parquet";
  ASSERT_EQ(Must(Predict(options_, GoOn)).records, kRecords);
  const auto reader = Must(data::OpenParquet(options_.output));
  EXPECT_EQ(reader->schema()->ToString(),
            "row: int64 not null\n"
            "prediction: int64\n"
            "probability: float\n"
            "predictions: list<element: int64>\n"
            "probabilities: list<element: float>\n"
            "fc2: fixed_size_list<element: float>[4]\n"
            "conv1: fixed_size_list<element: float>[512]");
  const std::shared_ptr<arrow::RecordBatch> batch = Must(reader->Next());
  ASSERT_EQ(batch->num_rows(), kRecords);
  const auto& rows = static_cast<const arrow::Int64Array&>(*batch->column(0));
  const auto& labels = static_cast<const arrow::Int64Array&>(*batch->column(1));
  for (int64_t row = 0; row < kRecords; ++row) {
    EXPECT_EQ(rows.Value(row), row);
    EXPECT_EQ(labels.Value(row), Expected(row, 1)[0].label);
  }
  // The last layer's output is the model's.
  const auto& layer =
      static_cast<const arrow::FixedSizeListArray&>(*batch->column(5));
  const auto& logits = static_cast<const arrow::FloatArray&>(*layer.values());
  const auto top =
      TopLabels({logits.raw_values() + layer.value_offset(7), 4}, 1);
  EXPECT_EQ(top[0].label, labels.Value(7));
}

TEST_F(PredictTest, OutputsOfLayersStandBesideThePredictions) {
  options_.layers = {"fc2"};
  options_.output = folder_ / "out.jsonl";
  ASSERT_EQ(Must(Predict(options_, GoOn)).records, kRecords);
  const nlohmann::json row = nlohmann::json::parse(LinesOf(options_.output)[3]);
  const auto logits = row["outputs"]["fc2"].get<std::vector<float>>();
  ASSERT_EQ(logits.size(), 4u);
  const LabelProbability top = TopLabels(logits, 1)[0];
  EXPECT_EQ(row["predictions"][0]["label"], top.label);
  EXPECT_NEAR(row["predictions"][0]["probability"].get<double>(),
              top.probability, 1e-5);
}

TEST_F(PredictTest, NothingIsWrittenWhenItIsInterrupted) {
  const absl::Status status =
      Predict(options_, [](int64_t done, int64_t) {
        return done < 16 ? absl::OkStatus() : absl::CancelledError("stop");
      }).status();
  EXPECT_EQ(status, absl::CancelledError("stop"));
  EXPECT_FALSE(LocalFileSystem()->Stat(options_.output).ok());
}

TEST_F(PredictTest, WhatDoesNotFitIsRefusedInWords) {
  const auto message = [this] {
    return std::string(Predict(options_, GoOn).status().message());
  };
  options_.top_k = 9;
  EXPECT_THAT(message(), AllOf(HasSubstr("9"), HasSubstr("4 classes")));
  options_.top_k = 1;
  options_.output = folder_ / "out.txt";
  EXPECT_THAT(message(), HasSubstr(".jsonl"));
  options_.output = folder_ / "out.csv";
  options_.layers = {"fc1"};
  EXPECT_THAT(message(), HasSubstr("which CSV does not have"));
  options_.layers = {"fd1"};
  EXPECT_THAT(message(), HasSubstr("there is no layer \"fd1\"; there are fc1"));
  options_.layers.clear();
  options_.bad_rows = "skip:1";
  EXPECT_THAT(message(), HasSubstr("--image"));
  options_.bad_rows.clear();
  options_.output = folder_ / "out.csv";
  options_.format = "tsv";
  EXPECT_THAT(message(), HasSubstr("tsv"));
  options_.format = "idx";
  options_.model = folder_ / "nothing";
  EXPECT_THAT(message(), HasSubstr("nothing"));
  data::WriteImages(folder_ / "other", folder_ / "other-labels", 3);
  options_.model = folder_.path();
  options_.input = folder_ / "other";
  EXPECT_THAT(message(), AllOf(HasSubstr("[2, 3]"), HasSubstr("[1, 8, 8]")));
}

TEST(TopLabelsTest, SortsByProbabilityAndThenByLabel) {
  const std::vector<LabelProbability> top = TopLabels({1, 3, 3, -100}, 3);
  ASSERT_EQ(top.size(), 3u);
  EXPECT_EQ(top[0].label, 1);
  EXPECT_EQ(top[1].label, 2);
  EXPECT_EQ(top[2].label, 0);
  EXPECT_NEAR(top[0].probability, 1 / (2 + std::exp(-2.0)), 1e-9);
}

TEST(PredictSummaryTest, SaysRecordsTimeAndAccuracy) {
  PredictSummary summary;
  summary.records = 10000;
  summary.seconds = 2;
  summary.accuracy = 0.9912;
  EXPECT_EQ(summary.ToText(),
            "10,000 records in 2.0 s (5,000 records/s), accuracy 0.9912");
}

}  // namespace
}  // namespace tfd::worker
