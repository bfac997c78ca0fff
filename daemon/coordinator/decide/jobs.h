// Decisions about jobs as a whole: submit, cancel, place, go on, fail.
#ifndef TFD_DAEMON_COORDINATOR_DECIDE_JOBS_H_
#define TFD_DAEMON_COORDINATOR_DECIDE_JOBS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/coordinator/decide/context.h"
#include "daemon/coordinator/policy/placement.h"

namespace tfd::coordinator {

struct SubmitCommand {
  std::string id;
  std::string owner;
  // Serialized in a fixed order, so that equal specs are equal bytes.
  std::string spec;
  JobFacts facts;
  std::string token;
  std::string feed_token;
};

enum class SubmitOutcome {
  kNew,
  // The id is taken, by a job of these bytes, or of others.
  kSame,
  kOther,
};
// InvalidArgument for an id that cannot be one; FailedPrecondition where
// another job is writing to the same storage.
absl::StatusOr<SubmitOutcome> Submit(const Context& context,
                                     SubmitCommand command);

// NotFound; FailedPrecondition where it has ended otherwise. Twice is fine.
absl::Status Cancel(const Context& context, const std::string& job,
                    const std::string& reason);

// The job, or NotFound that says how to find or submit one.
absl::StatusOr<const Job*> RequireJob(const State& state,
                                      const std::string& id);

// Places what can be placed, first come first served: a job that waits for
// resources holds back those behind it, one that can never fit does not.
void PlaceQueued(const Context& context);

// The nodes as placement sees them.
std::vector<NodeOffer> OffersOf(const Context& context);

// Takes every step that the progress policy asks for.
void Advance(const Context& context, const std::string& job);

// `task` ends its job: the first one to do so is the cause. Nothing where the
// job has ended.
void FailJob(const Context& context, const std::string& job,
             const std::string& task, const std::string& message,
             const std::optional<ExitCause>& exit);

// What to show of a job: while it runs from the metrics store, then its own.
Progress ProgressOf(const Job& job, const Runtime& runtime);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_DECIDE_JOBS_H_
