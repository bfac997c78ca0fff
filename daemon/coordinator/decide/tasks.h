// Decisions about what the tasks of a job say.
#ifndef TFD_DAEMON_COORDINATOR_DECIDE_TASKS_H_
#define TFD_DAEMON_COORDINATOR_DECIDE_TASKS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/coordinator/decide/context.h"

namespace tfd::coordinator {

struct TaskFacts {
  std::string job;
  std::string task;
  uint64_t generation = 0;
  uint64_t incarnation = 0;
  int64_t pid = 0;
  Endpoint endpoint;
  std::optional<CheckpointRef> restore;
};

// A task has come (back). Gives what it alone must be told (again), to be
// released once durable. FailedPrecondition where it must end: its generation
// is stale, it has been given up, or another process has its seat.
absl::StatusOr<std::vector<Effect>> AttachTask(const Context& context,
                                               const TaskFacts& facts);

// Whose word it is. Words of a process that no longer counts change nothing.
struct Speaker {
  std::string job;
  std::string task;
  uint64_t incarnation = 0;
};

// The speaker's job and task, or null where its word no longer counts.
const Job* Listen(const Context& context, const Speaker& speaker,
                  const Task** task);

void TakePlan(const Context& context, const Speaker& speaker,
              const TrainingPlan& plan);
void TakeTrainingDone(const Context& context, const Speaker& speaker,
                      int64_t step);
void TakeMetrics(const Context& context, const Speaker& speaker, int64_t step,
                 double epoch, const std::map<std::string, double>& values);
// `shards`: how many parts make the checkpoint; 0: as many as there are tasks.
void TakeShardSaved(const Context& context, const Speaker& speaker,
                    int64_t step, uint32_t shards, const ShardFile& file);
void TakeManifestWritten(const Context& context, const Speaker& speaker,
                         const CheckpointRef& checkpoint);
void TakeEvaluated(const Context& context, const Speaker& speaker, int64_t step,
                   const std::map<std::string, double>& values);
void TakeExported(const Context& context, const Speaker& speaker, int64_t step,
                  const std::string& uri);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_DECIDE_TASKS_H_
