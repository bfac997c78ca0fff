// What becomes of a job that has lost tasks: it fails, they are replaced while
// the others go on, or the whole gang goes on from the newest checkpoint. A
// pure function. (docs/adr/014-restarts.md)
//
//   - With restart.max_failures: 0, or where a task said itself what is wrong
//     (kPermanentExit: the same would happen again), the job fails.
//   - A failure of the job's own counts against max_failures; that of a node
//     does not.
//   - An evaluator, a feed and, where the parameters are with servers, a worker
//     hold nothing that another process could not take up: they are replaced.
//     Everything else takes the gang with it.
//   - A feed's rows are on its node: where that is gone, so are they.
//   - The first time at once; from then on after 1 s, 2 s, 4 s … 1 min, give or
//     take a quarter, so that jobs that fail together do not start together.
//     A feed at once: a node that is to have no task of a job deletes its
//     spool.
#ifndef TFD_DAEMON_COORDINATOR_POLICY_RECOVERY_H_
#define TFD_DAEMON_COORDINATOR_POLICY_RECOVERY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator {

enum class Remedy { kFail, kReplace, kRestart };

struct RecoveryPlan {
  Remedy remedy = Remedy::kFail;
  // Against restart.max_failures.
  bool counted = false;
  absl::Duration delay;
  // For people, to go behind what has happened; may be empty.
  std::string note;
};

// `lost` are names of tasks that have ended badly together; `exit` is how the
// first of them did, as far as known.
RecoveryPlan DecideRecovery(const Job& job,
                            const std::vector<std::string>& lost,
                            const std::optional<ExitCause>& exit);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_POLICY_RECOVERY_H_
