// tfd-data: takes in data that producers push to a job (`feed`, started by an
// agent), pushes files to one (`push`), checks datasets (`check`) and converts
// files of them (`convert`).
#include <CLI/CLI.hpp>

#include "common/interrupt.h"
#include "common/version.h"
#include "data/check.h"
#include "data/convert_command.h"
#include "data/feed/feed_process.h"
#include "data/feed/push_command.h"
#include "data/remote_files.h"

int main(int argc, char** argv) {
  CLI::App app("The data side of tfd.", "tfd-data");
  app.set_version_flag("--version", tfd::kVersion);
  app.require_subcommand(1);
  CLI::App* feed = app.add_subcommand(
      "feed", "Takes in pushed partitions of a job. Agents start it.");
  app.add_subcommand("check",
                     "Reads a dataset's spec as JSON from standard input and "
                     "says what it is, or what is wrong with it (exit code 2)");
  CLI::App* push = app.add_subcommand("push", "Pushes files to a running job");
  tfd::data::PushFilesOptions push_options;
  tfd::data::AddPushArguments(push, &push_options);
  CLI::App* convert = app.add_subcommand(
      "convert", "Writes files of records in another format");
  tfd::data::ConvertOptions options;
  tfd::data::AddConvertArguments(convert, &options);
  CLI11_PARSE(app, argc, argv);
  const tfd::data::RemoteFiles remote_files;
  if (app.got_subcommand("check")) return tfd::data::RunCheck();
  tfd::Interrupt interrupt;
  if (feed->parsed()) return tfd::data::RunFeedTask(&interrupt);
  if (push->parsed()) return tfd::data::RunPush(push_options, &interrupt);
  return tfd::data::RunConvert(options, &interrupt);
}
