#include "daemon/agent/task_report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/task/environment.h"
#include "daemon/agent/log_reader.h"

namespace tfd::agent {
namespace {

constexpr int kReportedLines = 20;
constexpr size_t kMaxReasonBytes = 8 << 10;
// For an end that nobody saw.
constexpr int kUnknownExitCode = -1;

v1::TaskReport Report(const TaskKey& key, pid_t pid) {
  v1::TaskReport report;
  report.set_job(key.job);
  report.set_task(key.Task());
  report.set_generation(key.generation);
  report.set_pid(pid);
  return report;
}

void SetKind(const ExitRecord& exit, v1::ExitCause& cause) {
  switch (exit.kind) {
    case ExitRecord::Kind::kExited:
      cause.set_kind(v1::ExitCause::EXITED);
      cause.set_code(exit.code);
      return;
    case ExitRecord::Kind::kSignaled:
      cause.set_kind(v1::ExitCause::SIGNALED);
      cause.set_signal(exit.signal);
      return;
    case ExitRecord::Kind::kStartFailed:
      cause.set_kind(v1::ExitCause::START_FAILED);
      return;
    case ExitRecord::Kind::kUnknown:
      cause.set_kind(v1::ExitCause::EXITED);
      cause.set_code(kUnknownExitCode);
      return;
  }
}

}  // namespace

v1::TaskReport StartedReport(const TaskKey& key, pid_t pid) {
  v1::TaskReport report = Report(key, pid);
  report.set_phase(v1::TaskReport::STARTED);
  return report;
}

v1::TaskReport EndedReport(const TaskKey& key, pid_t pid,
                           const ExitRecord& exit,
                           const std::string& task_folder,
                           const std::string& log_root) {
  v1::TaskReport report = Report(key, pid);
  report.set_phase(v1::TaskReport::ENDED);
  report.set_ended_at_ms(exit.ended_at_ms);
  v1::ExitCause& cause = *report.mutable_exit();
  SetKind(exit, cause);
  std::string message = exit.message;
  if (message.empty()) {
    message = ReadExitFile(absl::StrCat(task_folder, "/", kExitMessageFile));
  }
  cause.set_message(
      ToValidUtf8(absl::string_view(message).substr(0, kMaxReasonBytes)));
  const auto logs = OpenLogFolder(log_root, key);
  if (!logs.ok()) return report;
  std::vector<std::string> lines =
      LastLines(logs->get(), "stderr.log", kReportedLines);
  if (lines.empty()) {
    lines = LastLines(logs->get(), "stdout.log", kReportedLines);
  }
  for (std::string& line : lines) cause.add_last_lines(std::move(line));
  return report;
}

}  // namespace tfd::agent
