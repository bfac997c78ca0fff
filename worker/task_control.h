// What the coordinator has told this task, and whether it must end: the meeting
// place of the link's thread, the thread that waits for signals and the thread
// that does the work.
#ifndef TFD_WORKER_TASK_CONTROL_H_
#define TFD_WORKER_TASK_CONTROL_H_

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <variant>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tfd/v1/task.pb.h"

namespace tfd::worker {

// What the finisher is asked to do.
using Assignment = std::variant<v1::Evaluate, v1::Export>;

// Thread-safe.
class TaskControl {
 public:
  // From the link, in order; repeated commands are fine.
  void OnCommand(const v1::TaskCommand& command);

  // The task must end, with this status; the first is kept. Every wait returns
  // it from now on.
  void End(const absl::Status& status);
  // OK, or why the task must end.
  absl::Status status() const;

  // Each waits for what its name says, until `timeout`: then DeadlineExceeded
  // says what is missing.
  absl::StatusOr<v1::Membership> AwaitMembership(absl::Duration timeout);
  absl::StatusOr<v1::DatasetReady> AwaitDataset(const std::string& name,
                                                absl::Duration timeout);
  // Of a pushed dataset that grows; nothing where it has ended before that
  // segment. Segments before it are forgotten.
  absl::StatusOr<std::optional<v1::Segment>> AwaitSegment(
      const std::string& dataset, int64_t number, absl::Duration timeout);
  // Has no deadline of its own: how long the coordinator may be silent is the
  // link's business, which then calls End.
  absl::StatusOr<Assignment> AwaitAssignment();

 private:
  // At most this many assignments wait; more than one is unusual.
  static constexpr size_t kMaxAssignments = 64;

  // The segments of one dataset that are there, from the one that is wanted
  // next on.
  struct Segments {
    int64_t wanted = 1;
    std::map<int64_t, v1::Segment> there;
  };

  void AddSegment(const v1::Segment& segment)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddAssignment(Assignment assignment)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::optional<v1::Membership> membership_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, v1::DatasetReady> datasets_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Segments> segments_ ABSL_GUARDED_BY(mutex_);
  std::deque<Assignment> assignments_ ABSL_GUARDED_BY(mutex_);
};

// Waits for something that can only wait a while at a time: calls `wait` with
// short timeouts until it returns anything but DeadlineExceeded, the task must
// end, or `patience` is over. Now and then logs what it waits for.
absl::Status AwaitPatiently(
    const TaskControl& control, absl::Duration patience,
    absl::FunctionRef<absl::Status(absl::Duration)> wait);

}  // namespace tfd::worker

#endif  // TFD_WORKER_TASK_CONTROL_H_
