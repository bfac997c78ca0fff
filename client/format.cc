#include "client/format.h"

#include <google/protobuf/util/json_util.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/units.h"

namespace tfd::client {
namespace {

constexpr size_t kTableColumns = 100;
constexpr char kGap[] = "  ";

// Code points: good enough for columns of what tfd prints.
size_t Width(absl::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (c & 0xC0) != 0x80; });
}

// The first `width` columns of `text`, the last being "…" where it is cut.
std::string Cut(absl::string_view text, size_t width) {
  if (Width(text) <= width) return std::string(text);
  if (width == 0) return "";
  size_t columns = 0;
  size_t end = 0;
  while (end < text.size()) {
    bool starts_character = (text[end] & 0xC0) != 0x80;
    if (starts_character && ++columns == width) break;
    ++end;
  }
  return absl::StrCat(text.substr(0, end), "…");
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) +
         absl::Nanoseconds(time.nanos());
}

std::optional<double> Metric(const v1::Job& job, const std::string& name) {
  auto found = job.metrics().find(name);
  if (found == job.metrics().end()) return std::nullopt;
  return found->second;
}

// How long it has run, or took.
std::optional<absl::Duration> RunTime(const v1::Job& job, absl::Time now) {
  if (!job.has_started_at()) return std::nullopt;
  absl::Time end = job.has_ended_at() ? ToTime(job.ended_at()) : now;
  return end - ToTime(job.started_at());
}

std::string Steps(const v1::Job& job) {
  if (job.total_steps() == 0) return FormatCount(job.step());
  return absl::StrCat(FormatCount(job.step()), "/",
                      FormatCount(job.total_steps()));
}

// What a job counts.
const char* StepWord(const v1::Job& job) {
  return job.spec().has_predict() ? "part" : "step";
}

std::string FormatMetric(double value) {
  return absl::StrFormat("%.4g", value);
}

// Empty where nothing of it was started again.
std::string DescribeRestarts(const v1::Job& job) {
  if (job.restarts() == 0) return "";
  return absl::StrCat(job.restarts(), "; `tfd events ", job.id(), "` says why");
}

}  // namespace

Table::Table(std::vector<std::string> header) { Add(std::move(header)); }

void Table::Add(std::vector<std::string> row) {
  // One row is one line.
  for (std::string& cell : row)
    std::replace(cell.begin(), cell.end(), '\n', ' ');
  rows_.push_back(std::move(row));
}

std::string Table::ToString() const {
  std::vector<size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], Width(row[i]));
    }
  }
  std::string text;
  for (const auto& row : rows_) {
    size_t column = 0;
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      if (i + 1 == row.size()) {
        size_t left = kTableColumns > column ? kTableColumns - column : 1;
        absl::StrAppend(&line, Cut(row[i], left));
      } else {
        absl::StrAppend(&line, row[i],
                        std::string(widths[i] - Width(row[i]), ' '), kGap);
        column += widths[i] + strlen(kGap);
      }
    }
    absl::StripTrailingAsciiWhitespace(&line);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

std::string StateName(v1::JobState state) { return v1::JobState_Name(state); }

std::string StateName(v1::TaskState state) {
  return std::string(absl::StripPrefix(v1::TaskState_Name(state), "TASK_"));
}

bool HasEnded(v1::JobState state) {
  return state == v1::SUCCEEDED || state == v1::FAILED ||
         state == v1::CANCELLED;
}

std::string FormatJobs(const std::vector<v1::Job>& jobs, absl::Time now) {
  Table table({"JOB", "STATE", "STEP", "ACCURACY", "TIME", "REASON"});
  for (const v1::Job& job : jobs) {
    std::optional<double> accuracy = Metric(job, "validation_accuracy");
    if (!accuracy.has_value()) accuracy = Metric(job, "accuracy");
    std::optional<absl::Duration> time = RunTime(job, now);
    table.Add({job.id(), StateName(job.state()), Steps(job),
               accuracy.has_value() ? FormatMetric(*accuracy) : "-",
               time.has_value() ? tfd::FormatDuration(*time) : "-",
               job.reason()});
  }
  return table.ToString();
}

std::string FormatNodes(const std::vector<v1::Node>& nodes) {
  Table table({"NODE", "STATE", "CPUS", "MEMORY", "TASKS"});
  for (const v1::Node& node : nodes) {
    table.Add({node.name(), v1::Node::State_Name(node.state()),
               absl::StrFormat("%g/%g", node.reserved().cpus(),
                               node.offered().cpus()),
               absl::StrCat(FormatBytes(node.reserved().memory_bytes()), "/",
                            FormatBytes(node.offered().memory_bytes())),
               absl::StrJoin(node.tasks(), " ")});
  }
  return table.ToString();
}

std::string FormatExit(const v1::ExitCause& exit) {
  switch (exit.kind()) {
    case v1::ExitCause::EXITED:
      return absl::StrCat("exit code ", exit.code());
    case v1::ExitCause::SIGNALED: {
      const char* name = sigabbrev_np(exit.signal());
      return name != nullptr ? absl::StrCat("killed by SIG", name)
                             : absl::StrCat("killed by signal ", exit.signal());
    }
    case v1::ExitCause::START_FAILED:
      return "could not be started";
    case v1::ExitCause::NODE_LOST:
      return "its node is gone";
    default:
      return "";
  }
}

std::string FormatCause(const v1::Job& job) {
  const v1::FailureCause& cause = job.cause();
  std::string text;
  if (!cause.task().empty()) {
    absl::StrAppend(&text, cause.task(), " failed");
    // The coordinator's words begin with it in most cases.
    const std::string exit = FormatExit(cause.exit());
    if (!absl::StrContains(cause.message(), exit)) {
      absl::StrAppend(&text, " (", exit, ")");
    }
    if (!cause.message().empty()) absl::StrAppend(&text, ": ");
  }
  absl::StrAppend(&text, cause.message(), "\n");
  if (!cause.exit().last_lines().empty()) {
    absl::StrAppend(&text, "its last lines:\n");
    for (const std::string& line : cause.exit().last_lines()) {
      absl::StrAppend(&text, "  ", line, "\n");
    }
  }
  return text;
}

std::string FormatJob(const v1::Job& job, absl::Time now) {
  std::string text = absl::StrCat(job.id(), "  ", StateName(job.state()), "\n");
  auto line = [&text](absl::string_view name, absl::string_view value) {
    if (!value.empty()) {
      absl::StrAppend(&text, absl::StrFormat("%-12s%s\n", name, value));
    }
  };
  line("reason", job.reason());
  if (job.step() > 0) {
    line("step", absl::StrFormat("%s (epoch %.3g)", Steps(job), job.epoch()));
  }
  std::optional<absl::Duration> time = RunTime(job, now);
  if (time.has_value()) line("time", tfd::FormatDuration(*time));
  std::vector<std::string> metrics;
  for (const auto& [name, value] : std::map<std::string, double>(
           job.metrics().begin(), job.metrics().end())) {
    metrics.push_back(absl::StrCat(name, " ", FormatMetric(value)));
  }
  line("metrics", absl::StrJoin(metrics, ", "));
  line("restarts", DescribeRestarts(job));
  if (job.has_checkpoint()) line("checkpoint", job.checkpoint().uri());
  line("export", job.export_uri());
  line("predictions", job.spec().predict().output());
  for (const v1::DatasetStatus& dataset : job.datasets()) {
    line("dataset",
         absl::StrCat(dataset.name(), ": ", FormatCount(dataset.rows()),
                      " rows in ", dataset.partitions_size(), " partitions, ",
                      dataset.complete() ? "complete" : "not complete"));
  }
  if (job.state() == v1::FAILED) {
    absl::StrAppend(&text, "cause\n  ",
                    absl::StrReplaceAll(
                        absl::StripTrailingAsciiWhitespace(FormatCause(job)),
                        {{"\n", "\n  "}}),
                    "\n");
  }
  Table table({"TASK", "STATE", "NODE", "PID", "REASON"});
  for (const v1::Task& task : job.tasks()) {
    table.Add({task.name(), StateName(task.state()),
               task.node().empty() ? "-" : task.node(),
               task.pid() == 0 ? "-" : absl::StrCat(task.pid()),
               task.reason()});
  }
  return absl::StrCat(text, "\n", table.ToString());
}

std::string FormatEvent(const v1::Event& event) {
  return absl::StrFormat("%s  %-12s %-22s %s\n",
                         absl::FormatTime("%H:%M:%E3S", ToTime(event.time()),
                                          absl::LocalTimeZone()),
                         event.task().empty() ? "-" : event.task(),
                         event.kind(), event.message());
}

std::string FormatProgress(const v1::Job& job, absl::Time now, int columns) {
  if (job.state() != v1::RUNNING || job.step() == 0) {
    return Cut(absl::StrCat(job.id(), "  ", StateName(job.state()), "  ",
                            job.reason()),
               columns);
  }
  std::vector<std::string> parts = {job.id()};
  int32_t epochs = job.spec().stop().epochs();
  if (epochs > 0) {
    parts.push_back(absl::StrFormat("epoch %.1f/%d", job.epoch(), epochs));
  } else if (!job.spec().has_predict()) {
    parts.push_back(absl::StrFormat("epoch %.1f", job.epoch()));
  }
  parts.push_back(absl::StrCat(StepWord(job), " ", Steps(job)));
  auto metric = [&](const char* name, const char* label, const char* format) {
    std::optional<double> value = Metric(job, name);
    if (value.has_value()) {
      parts.push_back(absl::StrCat(
          label,
          absl::StrFormat(*absl::ParsedFormat<'f'>::New(format), *value)));
    }
  };
  metric("loss", "loss ", "%.4f");
  metric("accuracy", "accuracy ", "%.3f");
  metric("validation_accuracy", "validation ", "%.4f");
  std::optional<double> rate = Metric(job, "samples_per_s");
  if (rate.has_value()) {
    parts.push_back(
        absl::StrCat(FormatCount(static_cast<int64_t>(*rate)), " records/s"));
  }
  std::optional<absl::Duration> time = RunTime(job, now);
  if (time.has_value() && job.total_steps() > job.step()) {
    absl::Duration left =
        *time * (static_cast<double>(job.total_steps() - job.step()) /
                 static_cast<double>(job.step()));
    parts.push_back(absl::StrCat("ETA ", tfd::FormatDuration(left)));
  }
  return Cut(absl::StrJoin(parts, kGap), columns);
}

std::string FormatSummary(const v1::Job& job, const std::string& log_folder) {
  std::string text = absl::StrCat(job.id(), "  ", StateName(job.state()), "\n");
  auto line = [&text](absl::string_view name, const std::string& value) {
    if (!value.empty()) {
      absl::StrAppend(&text, absl::StrFormat("  %-12s%s\n", name, value));
    }
  };
  std::optional<double> accuracy = Metric(job, "validation_accuracy");
  if (accuracy.has_value()) {
    line("accuracy",
         absl::StrFormat("%.2f %% of the validation data", *accuracy * 100));
  }
  std::optional<double> loss = Metric(job, "loss");
  if (loss.has_value()) line("loss", FormatMetric(*loss));
  std::optional<absl::Duration> time = RunTime(job, absl::Now());
  if (time.has_value()) {
    std::optional<double> rate = Metric(job, "samples_per_s");
    line("time",
         absl::StrCat(
             tfd::FormatDuration(*time), " for ", FormatCount(job.step()), " ",
             StepWord(job), "s",
             rate.has_value()
                 ? absl::StrCat(", ", FormatCount(static_cast<int64_t>(*rate)),
                                " records/s at the end")
                 : ""));
  }
  line("restarts", DescribeRestarts(job));
  line("model", job.export_uri());
  line("predictions", job.spec().predict().output());
  if (job.has_checkpoint()) line("checkpoint", job.checkpoint().uri());
  line("logs", log_folder);
  return text;
}

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string text;
  // Fails for messages with an Any of an unknown type only; there are none.
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  return text;
}

}  // namespace tfd::client
