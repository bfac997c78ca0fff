// How long producers wait for a disk that is full, and who is told of it.
#ifndef TFD_DATA_FEED_DISK_ALARM_H_
#define TFD_DATA_FEED_DISK_ALARM_H_

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tfd/v1/task.pb.h"

namespace tfd::data {

// Of all streams of a feed; they share a disk, so one notice is enough for any
// number of them. Thread-safe; outlives them.
class DiskAlarm {
 public:
  struct Options {
    // What a write is tried again for; then the stream ends.
    absl::Duration patience = absl::Minutes(10);
    absl::Duration pause = absl::Seconds(1);
  };

  // `tell` is told when the first stream has to wait, and when one could write
  // again. It must not block.
  DiskAlarm(const Options& options,
            std::function<void(const v1::SpoolNotice&)> tell)
      : options_(options), tell_(std::move(tell)) {}

  // Writes, again and again while the disk is full. `await_cancel` waits and is
  // true once nobody needs the row any more.
  absl::Status Write(const std::function<absl::Status()>& write,
                     const std::function<bool(absl::Duration)>& await_cancel);

 private:
  void SetFull(bool is_full, const absl::Status& why);

  const Options options_;
  const std::function<void(const v1::SpoolNotice&)> tell_;
  absl::Mutex mutex_;
  bool is_full_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_DISK_ALARM_H_
