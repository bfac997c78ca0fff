// The composition root of `tfd-data feed`, a job's task of role feed.
#ifndef TFD_DATA_FEED_FEED_PROCESS_H_
#define TFD_DATA_FEED_FEED_PROCESS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/interrupt.h"
#include "common/task/environment.h"
#include "data/feed/spool.h"

namespace tfd::data {

// The whole task: reads its environment, logs, runs, leaves what was wrong in
// its exit file. Gives the exit code: 143 after SIGTERM.
int RunFeedTask(Interrupt* interrupt);

// Serves producers until a signal comes (Cancelled) or the coordinator is lost
// for good (its reason). What was acknowledged stays in the spool, which the
// agent deletes with the job.
absl::Status RunFeed(const TaskEnvironment& environment, Interrupt* interrupt);

// What the spool of a job on this node holds: the job's pushed datasets.
// InvalidArgument where there is none.
absl::StatusOr<SpoolOptions> SpoolOptionsOf(const TaskEnvironment& environment);

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_FEED_PROCESS_H_
