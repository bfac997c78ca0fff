// Following a job to its end, with Ctrl-C.
#ifndef TFD_CLIENT_FOLLOW_H_
#define TFD_CLIENT_FOLLOW_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "client/context.h"
#include "client/coordinator_client.h"
#include "tfd/v1/job.pb.h"

namespace tfd::client {

struct FollowOptions {
  // What the first Ctrl-C does: cancel the job and see it end, or leave it
  // running.
  bool interrupt_cancels = false;
  // Called several times a second; an error ends following with it.
  std::function<absl::Status()> supervise;
};

struct Followed {
  // As it was last seen.
  v1::Job job;
  // Ctrl-C came.
  bool interrupted = false;
};

// Shows progress on context.err until the job has ended, or Ctrl-C detached
// from it. A second Ctrl-C gives up at once.
absl::StatusOr<Followed> FollowJob(const Context& context,
                                   CoordinatorClient& client,
                                   const std::string& id,
                                   const FollowOptions& options);

// Runs `stream` (which ends early when its Canceller is) until it is done or
// Ctrl-C comes: Cancelled.
absl::Status RunInterruptibly(
    const Context& context,
    const std::function<absl::Status(Canceller&)>& stream);

}  // namespace tfd::client

#endif  // TFD_CLIENT_FOLLOW_H_
