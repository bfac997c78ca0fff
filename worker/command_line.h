// The command line of tfd-worker: the task (no arguments), check and predict.
#ifndef TFD_WORKER_COMMAND_LINE_H_
#define TFD_WORKER_COMMAND_LINE_H_

#include "common/interrupt.h"

namespace tfd::worker {

// Runs what the arguments say; returns the exit code.
int Run(int argc, char** argv, Interrupt* interrupt);

}  // namespace tfd::worker

#endif  // TFD_WORKER_COMMAND_LINE_H_
