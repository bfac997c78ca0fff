// The composition root of tfd-ps: one parameter server of a job, from its
// environment to its end.
#ifndef TFD_PS_PS_PROCESS_H_
#define TFD_PS_PS_PROCESS_H_

#include "absl/status/status.h"
#include "common/interrupt.h"
#include "common/task/environment.h"

namespace tfd::ps {

// Serves until SIGTERM or SIGINT (Cancelled), or until something is wrong. A
// parameter server never ends by itself.
absl::Status RunParameterServer(const TaskEnvironment& environment,
                                Interrupt* interrupt);

// The whole process but for signals: reads the environment, runs, leaves what
// was wrong in the exit file; the exit code.
int RunPsTask(Interrupt* interrupt);

}  // namespace tfd::ps

#endif  // TFD_PS_PS_PROCESS_H_
