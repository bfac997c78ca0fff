#include "client/command_line.h"

#include <CLI/CLI.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/nearest_name.h"
#include "common/status.h"
#include "common/version.h"

namespace tfd::client {
namespace {

constexpr char kFooter[] = R"(Examples:
  tfd run configs/mnist.yaml                 train on this machine
  tfd run configs/mnist.yaml --set stop.epochs=1
  tfd init mnist > mnist.yaml                a commented spec to start from
  tfd up; tfd submit mnist.yaml --detach     the same on a cluster of one machine
  tfd jobs; tfd job ID; tfd logs ID -f
  tfd predict runs/mnist images.idx -o predictions.csv

Exit codes: 0 success, 1 the job failed, 2 bad input, 3 the cluster cannot be
reached, 130 interrupted.)";

// The exit code that says "bad input".
constexpr int kBadInput = 2;

// What is wrong where the first argument should be a command and is none; else
// empty.
std::string UnknownCommand(const CLI::App& app,
                           const std::vector<std::string>& arguments) {
  if (arguments.empty() || absl::StartsWith(arguments.front(), "-")) return "";
  std::vector<std::string> names;
  for (const CLI::App* command :
       app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
    if (names.back() == arguments.front()) return "";
  }
  std::string text =
      absl::StrCat("there is no command \"", arguments.front(), "\"");
  std::string nearest = NearestName(arguments.front(), names);
  if (!nearest.empty()) absl::StrAppend(&text, "; did you mean ", nearest, "?");
  return absl::StrCat(text, " (tfd --help lists them all)");
}

}  // namespace

int RunCommandLine(const Context& context,
                   const std::vector<std::string>& arguments) {
  CommandLine line;
  line.context = &context;
  CLI::App app("tfd trains and serves models on a cluster.", "tfd");
  app.set_version_flag("--version", absl::StrCat("tfd ", kVersion));
  app.footer(kFooter);
  app.require_subcommand(1);
  AddRunCommands(&app, &line);
  AddJobCommands(&app, &line);
  AddClusterCommands(&app, &line);
  AddModelCommands(&app, &line);
  AddDataCommands(&app, &line);
  AddFeedCommand(&app, &line);
  std::string unknown = UnknownCommand(app, arguments);
  if (!unknown.empty()) {
    *context.err << "tfd: " << unknown << std::endl;
    return kBadInput;
  }
  try {
    // CLI11 takes them from the back.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    int code = app.exit(error, *context.out, *context.err);
    return code == 0 ? 0 : kBadInput;
  }
  absl::StatusOr<int> code = line.chosen();
  if (code.ok()) return *code;
  *context.err << "tfd: " << code.status().message() << std::endl;
  return ExitCode(code.status());
}

}  // namespace tfd::client
