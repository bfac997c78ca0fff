// tfd data convert.
#include <CLI/CLI.hpp>
#include <memory>

#include "client/child_program.h"
#include "client/command_line.h"

namespace tfd::client {
namespace {

struct ConvertOptions {
  std::string input;
  std::string output;
  std::string from;
  std::string to;
  std::string labels;
  std::string label_column;
  std::string columns;
};

absl::StatusOr<int> Convert(const CommandLine& line,
                            const ConvertOptions& options) {
  const Context& context = *line.context;
  ChildOptions child;
  child.command = {context.Program("tfd-data"), "convert",
                   context.Absolute(options.input),
                   context.Absolute(options.output)};
  auto add = [&child](const char* flag, const std::string& value) {
    if (value.empty()) return;
    child.command.push_back(flag);
    child.command.push_back(value);
  };
  add("--from", options.from);
  add("--to", options.to);
  if (!options.labels.empty()) {
    add("--labels", context.Absolute(options.labels));
  }
  add("--label-column", options.label_column);
  add("--columns", options.columns);
  return RunProgram(context, std::move(child));
}

void AddConvert(CLI::App* data, CommandLine* line) {
  auto options = std::make_shared<ConvertOptions>();
  CLI::App* convert = data->add_subcommand(
      "convert", "Write files of records in another format.");
  convert
      ->add_option("IN", options->input,
                   "a file, or a pattern with * for several")
      ->required();
  convert->add_option("OUT", options->output, "the file to write")->required();
  const auto formats =
      CLI::IsMember({"idx", "csv", "parquet", "arrow", "tfrecord"});
  convert
      ->add_option("--from", options->from,
                   "idx, csv, parquet, arrow or tfrecord; absent: by the name "
                   "of IN")
      ->check(formats);
  convert
      ->add_option("--to", options->to,
                   "one of the same; absent: by the name of OUT")
      ->check(formats);
  convert->add_option("--labels", options->labels,
                      "idx: the file of labels, read or written");
  convert->add_option("--label-column", options->label_column,
                      "idx: the column that is the label; absent: label");
  convert->add_option("--columns", options->columns,
                      "NAME,NAME,…: only these; absent: all");
  convert->footer(
      "Examples:\n"
      "  tfd data convert train-images-idx3-ubyte train.parquet --labels "
      "train-labels-idx1-ubyte\n"
      "  tfd data convert 'part-*.parquet' train.tfrecord.gz\n"
      "  tfd data convert train.csv train.arrow");
  convert->callback([line, options] {
    line->chosen = [line, options] { return Convert(*line, *options); };
  });
}

}  // namespace

void AddDataCommands(CLI::App* app, CommandLine* line) {
  CLI::App* data = app->add_subcommand("data", "Work with files of records.");
  data->require_subcommand(1);
  AddConvert(data, line);
}

}  // namespace tfd::client
