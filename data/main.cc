// tfd-data: takes in data that producers push to a job (`feed`, started by an
// agent), checks datasets (`check`) and converts files of them (`convert`).
#include <CLI/CLI.hpp>

#include "common/interrupt.h"
#include "common/version.h"
#include "data/check.h"
#include "data/convert_command.h"
#include "data/feed/feed_process.h"
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
  CLI::App* convert = app.add_subcommand(
      "convert", "Writes files of records in another format");
  tfd::data::ConvertOptions options;
  tfd::data::AddConvertArguments(convert, &options);
  CLI11_PARSE(app, argc, argv);
  const tfd::data::RemoteFiles remote_files;
  if (!feed->parsed() && !convert->parsed()) return tfd::data::RunCheck();
  tfd::Interrupt interrupt;
  return feed->parsed() ? tfd::data::RunFeedTask(&interrupt)
                        : tfd::data::RunConvert(options, &interrupt);
}
