#include "data/check.h"

#include <google/protobuf/util/json_util.h>

#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "data/columns.h"
#include "data/dataset.h"

namespace tfd::data {
namespace {

constexpr uint64_t kHeadRecords = 1000;

}  // namespace

absl::StatusOr<std::string> CheckDataset(const std::string& dataset_json) {
  v1::DatasetSpec spec;
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(dataset_json, &spec);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the dataset on standard input is no tfd.v1.DatasetSpec "
                     "in JSON: ",
                     std::string(parsed.message())));
  }
  nlohmann::ordered_json answer;
  if (spec.format() == v1::DatasetSpec::PUSHED) {
    TFD_ASSIGN_OR_RETURN(const ColumnNames columns, ColumnsOf(spec));
    answer["pushed"] = true;
    answer["features"] = columns.features;
    answer["label"] = columns.label;
    return answer.dump();
  }
  OpenOptions options;
  // Labels that the spec names have to be there.
  const bool named = !spec.labels().empty() || spec.columns().contains("label");
  options.labels = named ? Labels::kRequired : Labels::kIfAny;
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> dataset,
                       OpenDataset(spec, Preprocess(v1::DataSpec()), options));
  const DatasetInfo& info = dataset->info();
  answer["records"] = info.records;
  if (info.left_out > 0) answer["left_out"] = info.left_out;
  answer["shape"] = info.shape;
  answer["dtype"] = DtypeName(info.dtype);
  if (info.has_labels) {
    TFD_ASSIGN_OR_RETURN(const LabelRange labels,
                         HeadLabels(*dataset, kHeadRecords));
    answer["labels"]["smallest"] = labels.smallest;
    answer["labels"]["largest"] = labels.largest;
  }
  return answer.dump();
}

int RunCheck() {
  const std::string input{std::istreambuf_iterator<char>(std::cin),
                          std::istreambuf_iterator<char>()};
  const absl::StatusOr<std::string> answer = CheckDataset(input);
  if (answer.ok()) {
    std::cout << *answer << std::endl;
  } else {
    std::cerr << "tfd-data: " << std::string(answer.status().message())
              << std::endl;
  }
  return ExitCode(answer.status());
}

}  // namespace tfd::data
