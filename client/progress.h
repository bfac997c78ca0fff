// What a person sees while a job runs.
#ifndef TFD_CLIENT_PROGRESS_H_
#define TFD_CLIENT_PROGRESS_H_

#include <ostream>
#include <string>

#include "absl/time/time.h"
#include "tfd/v1/job.pb.h"

namespace tfd::client {

// On a terminal one line that rewrites itself; elsewhere a new line when the
// state, the epoch or the validation changed, and every ten seconds.
// Thread-compatible.
class ProgressLine {
 public:
  // `err` outlives it.
  ProgressLine(std::ostream* err, bool is_terminal, int columns);

  void Show(const v1::Job& job, absl::Time now);
  // Leaves the last line where it is and goes to a new one.
  void Finish();

 private:
  // What a new line is worth for where lines stay.
  static std::string Milestone(const v1::Job& job);

  std::ostream* err_;
  bool is_terminal_;
  int columns_;
  bool line_open_ = false;
  std::string last_milestone_;
  absl::Time last_shown_ = absl::InfinitePast();
};

}  // namespace tfd::client

#endif  // TFD_CLIENT_PROGRESS_H_
