#include "common/poll.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace tfd {
namespace {

// poll takes an int of milliseconds: longer waits are taken in parts.
constexpr absl::Duration kLongestPoll = absl::Hours(1);

}  // namespace

int PollUntil(pollfd* descriptors, int count, absl::Time deadline) {
  while (true) {
    const absl::Duration left =
        std::max(absl::ZeroDuration(), deadline - SteadyNow());
    const auto timeout_ms = static_cast<int>(absl::ToInt64Milliseconds(
        absl::Ceil(std::min(left, kLongestPoll), absl::Milliseconds(1))));
    const int ready = poll(descriptors, static_cast<nfds_t>(count), timeout_ms);
    if (ready > 0) return ready;
    if (ready < 0 && errno != EINTR) return 0;
    if (SteadyNow() >= deadline) return 0;
  }
}

bool PollUntilReadable(int descriptor, absl::Duration timeout) {
  pollfd one{descriptor, POLLIN, 0};
  return PollUntil(&one, 1, SteadyNow() + timeout) > 0;
}

}  // namespace tfd
