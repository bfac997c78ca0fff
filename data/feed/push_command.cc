#include "data/feed/push_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status.h"
#include "common/units.h"

namespace tfd::data {
namespace {

constexpr absl::Duration kPushProgressEvery = absl::Milliseconds(500);
constexpr size_t kMaxWaitsFor = 100;

// One line on a terminal, over and over.
class ProgressLine {
 public:
  absl::Status Show(const PushProgress& done) {
    if (!is_terminal_ || absl::Now() < next_) return absl::OkStatus();
    next_ = absl::Now() + kPushProgressEvery;
    const double seconds = absl::ToDoubleSeconds(absl::Now() - begin_);
    std::string line = absl::StrCat(
        FormatCount(done.rows), " rows, ", FormatBytes(done.size_bytes), ", ",
        FormatBytes(static_cast<uint64_t>(done.size_bytes / seconds)), "/s");
    if (!done.waits_for.empty()) {
      absl::StrAppend(&line,
                      "; waits: ", done.waits_for.substr(0, kMaxWaitsFor));
    }
    std::cerr << "\r\x1b[K" << line << std::flush;
    shown_ = true;
    return absl::OkStatus();
  }
  void End() const {
    if (shown_) std::cerr << "\r\x1b[K";
  }
  absl::Duration elapsed() const { return absl::Now() - begin_; }

 private:
  const bool is_terminal_ = isatty(STDERR_FILENO) != 0;
  const absl::Time begin_ = absl::Now();
  absl::Time next_ = begin_ + kPushProgressEvery;
  bool shown_ = false;
};

}  // namespace

void AddPushArguments(CLI::App* push, PushFilesOptions* options) {
  push->add_option("JOB", options->target.job, "The job")->required();
  push->add_option("DATASET", options->target.dataset, "train or validation")
      ->required();
  push->add_option("FILE", options->files,
                   "Files, and patterns with * for several")
      ->required();
  push->add_option("--coordinator", options->target.coordinator,
                   "HOST:PORT or unix:PATH")
      ->required();
  push->add_option("--producer", options->target.producer,
                   "Whose rows they are: the same name again goes on")
      ->required();
  push->add_option(
      "--format", options->format,
      "idx, csv, parquet, arrow or tfrecord; absent: by the names");
  push->add_option("--labels", options->labels, "idx: the file of labels");
  push->add_option("--columns", options->columns,
                   "NAME,NAME,…: only these, the label last; absent: all");
  push->add_option_function<double>(
      "--timeout",
      [options](const double& seconds) {
        options->timeout = absl::Seconds(seconds);
      },
      "Seconds without any progress after which it gives up");
}

int RunPush(const PushFilesOptions& options, Interrupt* interrupt) {
  ProgressLine line;
  const absl::StatusOr<PushProgress> done =
      PushFiles(options, [&](const PushProgress& so_far) -> absl::Status {
        if (interrupt->Wait(absl::ZeroDuration()) != 0) {
          return absl::CancelledError(
              "interrupted; the rows that were pushed are kept for a while: "
              "the same command goes on behind them");
        }
        return line.Show(so_far);
      });
  line.End();
  if (!done.ok()) {
    std::cerr << "tfd-data push: " << done.status().message() << "\n";
    return ExitCode(done.status());
  }
  std::cerr << FormatCount(done->rows) << " rows in "
            << FormatCount(done->partitions)
            << (done->partitions == 1 ? " partition in " : " partitions in ")
            << tfd::FormatDuration(line.elapsed()) << " to "
            << options.target.dataset << " of " << options.target.job
            << (done->rows_before == 0
                    ? ""
                    : absl::StrCat("; ", FormatCount(done->rows_before),
                                   " of them were there already"))
            << "\n";
  return EXIT_SUCCESS;
}

}  // namespace tfd::data
