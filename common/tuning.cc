#include "common/tuning.h"

#include <malloc.h>

#include "absl/synchronization/mutex.h"

namespace tfd {
namespace {

constexpr int kMmapThresholdBytes = 1 << 30;
// The settings are ints: the largest that fits stands for "never trim".
constexpr int kTrimThresholdBytes = 0x7fffffff;
constexpr int kTopPadBytes = 64 << 20;

}  // namespace

void TuneForThroughput() {
  mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes);
  mallopt(M_TRIM_THRESHOLD, kTrimThresholdBytes);
  mallopt(M_TOP_PAD, kTopPadBytes);
  mallopt(M_ARENA_MAX, 1);
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace tfd
