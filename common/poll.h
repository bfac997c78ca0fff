// Waiting for a file descriptor with a duration, a signal's arrival included.
#ifndef TFD_COMMON_POLL_H_
#define TFD_COMMON_POLL_H_

#include <poll.h>

#include <chrono>

#include "absl/time/time.h"

namespace tfd {

// Monotonic: not moved when somebody sets the clock.
inline absl::Time SteadyNow() {
  return absl::UnixEpoch() +
         absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

// poll(2) until one of `descriptors` is ready or `deadline` (of SteadyNow) has
// passed; the number of those ready.
int PollUntil(pollfd* descriptors, int count, absl::Time deadline);

// Whether `descriptor` became readable within `timeout`.
bool PollUntilReadable(int descriptor, absl::Duration timeout);

}  // namespace tfd

#endif  // TFD_COMMON_POLL_H_
