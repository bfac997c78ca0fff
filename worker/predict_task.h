// `tfd-worker` as a task of a job that predicts: JobSpec.predict. It answers
// its share of the input, or serves what is pushed to it.
#ifndef TFD_WORKER_PREDICT_TASK_H_
#define TFD_WORKER_PREDICT_TASK_H_

#include "absl/status/status.h"
#include "common/task/environment.h"
#include "worker/task_control.h"

namespace tfd::worker {

// Returns when the task is done, or with why it must end. `environment` and
// `control` outlive the call.
absl::Status RunPredictTask(const TaskEnvironment& environment,
                            TaskControl* control);

}  // namespace tfd::worker

#endif  // TFD_WORKER_PREDICT_TASK_H_
