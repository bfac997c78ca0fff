// tfd feed.
#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/address.h"
#include "client/child_program.h"
#include "client/command_line.h"
#include "client/coordinator_client.h"
#include "common/fs/remote_file_system.h"
#include "common/status.h"

namespace tfd::client {
namespace {

struct FeedOptions {
  std::string job;
  std::string dataset;
  std::vector<std::string> files;
  std::string producer = "tfd-feed";
  std::string format;
  std::string labels;
  double timeout_s = 300;
};

// The columns that the job's spec names, the label last.
absl::StatusOr<std::string> ColumnsToFeed(const v1::Job& job,
                                          const std::string& dataset) {
  const v1::DataSpec& data = job.spec().data();
  if (dataset != "train" && dataset != "validation") {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", dataset,
                     "\" is no dataset: feed train or "
                     "validation"));
  }
  const v1::DatasetSpec& spec =
      dataset == "train" ? data.train() : data.validation();
  if (spec.format() != v1::DatasetSpec::PUSHED) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the job ", job.id(), " has no pushed dataset ", dataset,
        ": its spec has to say data.", dataset, ".format: pushed"));
  }
  const auto features = spec.columns().find("features");
  const auto label = spec.columns().find("label");
  if (features == spec.columns().end() || label == spec.columns().end()) {
    return std::string();
  }
  return absl::StrCat(features->second, ",", label->second);
}

absl::StatusOr<int> Feed(const CommandLine& line, const FeedOptions& options) {
  const Context& context = *line.context;
  TFD_ASSIGN_OR_RETURN(const std::string address,
                       CoordinatorAddress(context, line.coordinator));
  CoordinatorClient client(address);
  TFD_ASSIGN_OR_RETURN(const v1::Job job, client.Get(options.job));
  TFD_ASSIGN_OR_RETURN(const std::string columns,
                       ColumnsToFeed(job, options.dataset));
  ChildOptions child;
  child.command = {context.Program("tfd-data"),
                   "push",
                   "--coordinator",
                   address,
                   "--producer",
                   options.producer,
                   "--timeout",
                   absl::StrCat(options.timeout_s)};
  const auto add = [&child](const char* flag, const std::string& value) {
    if (value.empty()) return;
    child.command.push_back(flag);
    child.command.push_back(value);
  };
  add("--format", options.format);
  add("--columns", columns);
  if (!options.labels.empty()) {
    add("--labels", context.Absolute(options.labels));
  }
  child.command.push_back(options.job);
  child.command.push_back(options.dataset);
  for (const std::string& file : options.files) {
    child.command.push_back(IsRemoteUri(file) ? file : context.Absolute(file));
  }
  return RunProgram(context, std::move(child));
}

}  // namespace

void AddFeedCommand(CLI::App* app, CommandLine* line) {
  auto options = std::make_shared<FeedOptions>();
  CLI::App* feed = app->add_subcommand(
      "feed", "Push files into a running job, each row once.");
  feed->add_option("JOB", options->job, "the job")->required();
  feed->add_option("DATASET", options->dataset, "train or validation")
      ->required();
  feed->add_option("FILE", options->files,
                   "files, and patterns with * for several")
      ->required();
  feed->add_option("--producer", options->producer,
                   "whose rows they are: the same name goes on where an "
                   "earlier run was stopped")
      ->capture_default_str();
  feed->add_option("--format", options->format,
                   "idx, csv, parquet, arrow or tfrecord; absent: by the names")
      ->check(CLI::IsMember({"idx", "csv", "parquet", "arrow", "tfrecord"}));
  feed->add_option("--labels", options->labels, "idx: the file of labels");
  feed->add_option("--timeout", options->timeout_s,
                   "seconds without any progress after which it gives up")
      ->capture_default_str();
  feed->add_option("--coordinator", line->coordinator, "its HOST:PORT");
  feed->footer(
      "Examples:\n"
      "  tfd feed mnist train 'part-*.parquet'\n"
      "  tfd feed mnist train train-images-idx3-ubyte --labels "
      "train-labels-idx1-ubyte\n"
      "  tfd feed mnist train monday.csv --producer monday");
  feed->callback([line, options] {
    line->chosen = [line, options] { return Feed(*line, *options); };
  });
}

}  // namespace tfd::client
