#include "worker/command_line.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/fs/file_system.h"
#include "common/log.h"
#include "common/status.h"
#include "common/task/environment.h"
#include "common/task/exit_code.h"
#include "common/units.h"
#include "common/version.h"
#include "spdlog/spdlog.h"
#include "worker/check.h"
#include "worker/predict.h"
#include "worker/task_control.h"
#include "worker/worker_task.h"

namespace tfd::worker {
namespace {

constexpr int kBadInput = 2;
constexpr int kTerminated = 143;  // as a shell says it of SIGTERM
// From SIGTERM to the end, whatever the task is doing.
constexpr absl::Duration kStopGrace = absl::Milliseconds(700);
constexpr absl::Duration kForever = absl::InfiniteDuration();
constexpr absl::Duration kProgressAfter = absl::Seconds(2);
constexpr absl::Duration kProgressEvery = absl::Milliseconds(500);

// Ends the task when a signal comes: in order, or, where it is deep in a
// computation, without. (It serves nobody and its files appear whole or not at
// all, so nothing is lost by that.)
class SignalWatch {
 public:
  SignalWatch(Interrupt* interrupt, TaskControl* control)
      : interrupt_(interrupt), thread_([this, control] { Watch(control); }) {}

  ~SignalWatch() {
    if (thread_.joinable()) Finish();
  }

  // The work is over; whether a signal had come.
  bool Finish() {
    done_.Notify();
    interrupt_->Wake();
    thread_.join();
    return signalled_;
  }

 private:
  void Watch(TaskControl* control) {
    if (interrupt_->Wait(kForever) == 0) return;
    signalled_ = true;
    spdlog::info("told to stop");
    control->End(absl::CancelledError("told to stop"));
    if (!done_.WaitForNotificationWithTimeout(kStopGrace)) _exit(kTerminated);
  }

  Interrupt* const interrupt_;
  absl::Notification done_;
  bool signalled_ = false;  // the thread's until it was joined
  std::thread thread_;
};

int RunTaskProgram(Interrupt* interrupt) {
  const absl::StatusOr<TaskEnvironment> environment = ReadTaskEnvironment();
  if (!environment.ok()) {
    std::cerr << "tfd-worker: " << environment.status().message() << "\n";
    return EXIT_FAILURE;
  }
  const absl::Status logging = InitLogging(
      {absl::StrCat("job ", environment->job, " ", environment->task)});
  if (!logging.ok()) std::cerr << logging.message() << "\n";
  TaskControl control;
  SignalWatch watch(interrupt, &control);
  const absl::Status status = RunTask(*environment, &control);
  const bool signalled = watch.Finish();
  if (status.ok()) return EXIT_SUCCESS;
  if (signalled) return kTerminated;
  spdlog::error("{}", std::string(status.message()));
  WriteExitFile(environment->exit_file, status);
  return TaskExitCode(status);
}

int RunCheck(const std::string& path) {
  std::string bytes;
  if (path == "-") {
    bytes.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    const absl::StatusOr<Location> location = ResolveUri(path);
    const absl::StatusOr<std::string> read =
        location.ok() ? ReadFile(*location->file_system, location->path)
                      : location.status();
    if (!read.ok()) {
      std::cerr << read.status().message() << "\n";
      return kBadInput;
    }
    bytes = *read;
  }
  const absl::StatusOr<v1::JobSpec> spec = ParseJobSpec(bytes);
  if (!spec.ok()) {
    std::cerr << spec.status().message() << "\n";
    return kBadInput;
  }
  const CheckResult result = CheckJob(*spec);
  for (const std::string& problem : result.problems) {
    std::cerr << problem << "\n";
  }
  if (!result.problems.empty()) return kBadInput;
  std::cout << result.ToJson() << "\n";
  return EXIT_SUCCESS;
}

int RunPredict(const PredictOptions& options, Interrupt* interrupt) {
  const absl::Time begin = absl::Now();
  absl::Time say_at = begin + kProgressAfter;
  bool said = false;
  const auto progress = [&](int64_t done, int64_t records) -> absl::Status {
    if (interrupt->Wait(absl::ZeroDuration()) != 0) {
      return absl::CancelledError("interrupted");
    }
    if (absl::Now() < say_at) return absl::OkStatus();
    said = true;
    say_at = absl::Now() + kProgressEvery;
    std::cerr << "\r" << FormatCount(done) << " of " << FormatCount(records)
              << " records" << std::flush;
    return absl::OkStatus();
  };
  const absl::StatusOr<PredictSummary> summary = Predict(options, progress);
  if (said) std::cerr << "\n";
  if (!summary.ok()) {
    std::cerr << "tfd-worker predict: " << summary.status().message() << "\n";
    return ExitCode(summary.status());
  }
  std::cerr << summary->ToText() << "\n";
  return EXIT_SUCCESS;
}

}  // namespace

int Run(int argc, char** argv, Interrupt* interrupt) {
  CLI::App app(
      "A worker or evaluator of a job; an agent starts it. By hand: check and "
      "predict.",
      "tfd-worker");
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(0, 1);

  std::string spec = "-";
  CLI::App* check = app.add_subcommand(
      "check",
      "Says what is wrong with a job's model and data, one problem a line on "
      "standard error (exit code 2), or what is known of its training, as "
      "JSON");
  check
      ->add_option("--spec", spec,
                   "The job spec, as JSON or serialized; - for standard input")
      ->capture_default_str();

  PredictOptions options;
  CLI::App* predict = app.add_subcommand(
      "predict", "Predicts the label of every record of a file, in order");
  predict->add_option("--model", options.model, "Folder of an export")
      ->required();
  predict->add_option("--format", options.format,
                      "idx, csv, parquet, arrow or tfrecord; absent: by the "
                      "name of the input");
  predict->add_option("--input", options.input, "The records")->required();
  predict->add_option("--labels", options.labels,
                      "idx: a file of labels, to say the accuracy");
  predict->add_option("--label-column", options.label_column,
                      "Not for idx: the column that is the label and no "
                      "feature");
  predict->add_option("--feature-columns", options.feature_columns,
                      "Not for idx: NAME,NAME,…; absent: all but the label");
  predict->add_option("--top-k", options.top_k, "Labels per record")
      ->capture_default_str();
  predict
      ->add_option("--output", options.output,
                   "FILE.csv, FILE.jsonl, FILE.parquet, or - for standard "
                   "output")
      ->capture_default_str();
  predict
      ->add_option("--outputs", options.layers,
                   "Layers whose outputs are written too, NAME,NAME,…")
      ->delimiter(',');
  predict->add_option("--image", options.image,
                      "Not for idx: the features are images: bytes, path or "
                      "url");
  predict->add_option("--bad-rows", options.bad_rows,
                      "With --image: fail, or skip:N");
  predict->add_option("--batch-size", options.batch_size, "Records at a time")
      ->capture_default_str();
  predict->add_option("--threads", options.threads, "Compute threads")
      ->capture_default_str();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? EXIT_SUCCESS : kBadInput;
  }
  if (check->parsed()) return RunCheck(spec);
  if (predict->parsed()) return RunPredict(options, interrupt);
  return RunTaskProgram(interrupt);
}

}  // namespace tfd::worker
