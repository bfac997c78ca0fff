#include "data/convert_command.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/status.h"
#include "common/units.h"

namespace tfd::data {
namespace {

constexpr absl::Duration kConvertProgressAfter = absl::Seconds(2);
constexpr absl::Duration kConvertProgressEvery = absl::Milliseconds(500);

}  // namespace

void AddConvertArguments(CLI::App* convert, ConvertOptions* options) {
  convert
      ->add_option("IN", options->input,
                   "A file, or a pattern with * for several")
      ->required();
  convert->add_option("OUT", options->output, "The file to write")->required();
  convert->add_option("--from", options->from,
                      "idx, csv, parquet, arrow or tfrecord; absent: by the "
                      "name of IN");
  convert->add_option("--to", options->to,
                      "One of the same; absent: by the name of OUT");
  convert->add_option("--labels", options->labels,
                      "idx: the file of labels, read or written");
  convert
      ->add_option("--label-column", options->label_column,
                   "idx: the column that is the label")
      ->capture_default_str();
  convert->add_option("--columns", options->columns,
                      "NAME,NAME,…: only these; absent: all");
}

int RunConvert(const ConvertOptions& options, Interrupt* interrupt) {
  const absl::Time begin = absl::Now();
  absl::Time say_at = begin + kConvertProgressAfter;
  bool said = false;
  const auto progress = [&](int64_t done) -> absl::Status {
    if (interrupt->Wait(absl::ZeroDuration()) != 0) {
      return absl::CancelledError("interrupted");
    }
    if (absl::Now() < say_at) return absl::OkStatus();
    said = true;
    say_at = absl::Now() + kConvertProgressEvery;
    std::cerr << "\r" << FormatCount(done) << " records" << std::flush;
    return absl::OkStatus();
  };
  const absl::StatusOr<int64_t> records = ConvertFiles(options, progress);
  if (said) std::cerr << "\n";
  if (!records.ok()) {
    std::cerr << "tfd-data convert: " << records.status().message() << "\n";
    return ExitCode(records.status());
  }
  std::cerr << FormatCount(*records) << " records in "
            << tfd::FormatDuration(absl::Now() - begin) << " to "
            << options.output << "\n";
  return EXIT_SUCCESS;
}

}  // namespace tfd::data
