// Time comes from a Clock that is passed in, so that tests own it.
#ifndef TFD_COMMON_CLOCK_H_
#define TFD_COMMON_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace tfd {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;

  // The system's clock; lives as long as the process.
  static const Clock* Real();
};

// Stands still until told otherwise. Thread-safe.
class FakeClock : public Clock {
 public:
  explicit FakeClock(absl::Time now = absl::FromUnixSeconds(1600000000));
  absl::Time Now() const override;
  void Advance(absl::Duration duration);

 private:
  mutable absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tfd

#endif  // TFD_COMMON_CLOCK_H_
