// What the exit code of a task says to its coordinator.
#ifndef TFD_COMMON_TASK_EXIT_CODE_H_
#define TFD_COMMON_TASK_EXIT_CODE_H_

#include "absl/status/status.h"

namespace tfd {

// The task knows what is wrong, and would find the same again: bad data, say.
inline constexpr int kPermanentExit = 1;
// It may be better next time: a peer that did not answer, a disk that was full.
// (EX_TEMPFAIL of sysexits.h)
inline constexpr int kTemporaryExit = 75;

inline int TaskExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
      return kTemporaryExit;
    default:
      return kPermanentExit;
  }
}

}  // namespace tfd

#endif  // TFD_COMMON_TASK_EXIT_CODE_H_
