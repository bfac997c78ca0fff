#include "client/progress.h"

#include "absl/strings/str_cat.h"
#include "client/format.h"

namespace tfd::client {
namespace {

constexpr absl::Duration kTerminalInterval = absl::Milliseconds(100);
constexpr absl::Duration kFileInterval = absl::Seconds(10);
constexpr char kRewriteLine[] = "\r\033[K";

}  // namespace

ProgressLine::ProgressLine(std::ostream* err, bool is_terminal, int columns)
    : err_(err), is_terminal_(is_terminal), columns_(columns) {}

std::string ProgressLine::Milestone(const v1::Job& job) {
  auto validation = job.metrics().find("validation_accuracy");
  return absl::StrCat(
      job.state(), " ", static_cast<int64_t>(job.epoch()), " ",
      validation == job.metrics().end() ? 0.0 : validation->second, " ",
      // While it waits, what it waits for is the news.
      job.step() == 0 ? job.reason() : "");
}

void ProgressLine::Show(const v1::Job& job, absl::Time now) {
  std::string milestone = Milestone(job);
  bool news = milestone != last_milestone_;
  absl::Duration interval = is_terminal_ ? kTerminalInterval : kFileInterval;
  if (!news && now - last_shown_ < interval) return;
  last_milestone_ = milestone;
  last_shown_ = now;
  if (is_terminal_) {
    // One column less: a full line would wrap.
    *err_ << kRewriteLine << FormatProgress(job, now, columns_ - 1)
          << std::flush;
    line_open_ = true;
  } else {
    constexpr int kNoLimit = 1000;
    *err_ << FormatProgress(job, now, kNoLimit) << std::endl;
  }
}

void ProgressLine::Finish() {
  if (line_open_) *err_ << std::endl;
  line_open_ = false;
}

}  // namespace tfd::client
