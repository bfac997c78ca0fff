// Datasets of table files, for tests.
#ifndef TFD_TESTS_DATA_TABLE_TESTING_H_
#define TFD_TESTS_DATA_TABLE_TESTING_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "common/testing/temp_folder.h"
#include "data/dataset.h"
#include "data/table_file.h"
#include "tests/data/arrow_messages.h"
#include "tests/data/idx_files.h"

namespace tfd::data {

class TableTest : public ::testing::Test {
 protected:
  TableTest(v1::DatasetSpec::Format format, const std::string& file) {
    spec_.set_format(format);
    spec_.set_path(folder_ / file);
    (*spec_.mutable_columns())["label"] = "label";
  }

  absl::StatusOr<std::unique_ptr<Dataset>> Open() {
    return OpenDataset(spec_, Preprocess(data_), options_);
  }
  std::string OpenError() { return std::string(Open().status().message()); }
  // All features of all records, in order.
  std::vector<float> Features() {
    auto dataset = Open();
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    if (!dataset.ok()) return {};
    info_ = (*dataset)->info();
    std::vector<uint64_t> records(info_.records);
    for (size_t i = 0; i < records.size(); ++i) records[i] = i;
    EXPECT_TRUE((*dataset)->ReadBatch(records, &batch_).ok());
    return {batch_.features(),
            batch_.features() + batch_.size() * batch_.elements()};
  }
  // After Features.
  std::vector<int64_t> LabelsRead() {
    return {batch_.labels(), batch_.labels() + batch_.size()};
  }
  void NameFeatures(const std::string& names) {
    (*spec_.mutable_columns())["features"] = names;
  }

  static std::string Contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file),
            std::istreambuf_iterator<char>()};
  }

  testing::TempFolder folder_;
  v1::DatasetSpec spec_;
  v1::DataSpec data_;
  OpenOptions options_;
  DatasetInfo info_;
  Batch batch_;
};

}  // namespace tfd::data

#endif  // TFD_TESTS_DATA_TABLE_TESTING_H_
