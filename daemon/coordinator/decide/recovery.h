// Decisions about tasks that have ended badly: what becomes of their job, and
// when something of it is started again.
#ifndef TFD_DAEMON_COORDINATOR_DECIDE_RECOVERY_H_
#define TFD_DAEMON_COORDINATOR_DECIDE_RECOVERY_H_

#include <optional>
#include <string>
#include <vector>

#include "daemon/coordinator/decide/context.h"

namespace tfd::coordinator {

// `lost` have ended badly, which the state says already: the first of them is
// the cause, `message` says what has happened. Nothing where the job has ended;
// where it is being started again, only whether it still can be.
void Recover(const Context& context, const std::string& job,
             const std::vector<std::string>& lost, const std::string& message,
             const std::optional<ExitCause>& exit);

// Places those that take another's place and may by now: its process has ended,
// its delay is over. To be asked again whenever one of that may have changed.
void ReplaceTasks(const Context& context, const std::string& job);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_DECIDE_RECOVERY_H_
