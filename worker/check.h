// `tfd-worker check`: whether a job's model and data are there and fit each
// other, before anything is started.
#ifndef TFD_WORKER_CHECK_H_
#define TFD_WORKER_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::worker {

// What is known of a training before it starts; 0 where pushed data decides.
struct CheckResult {
  std::vector<std::string> problems;
  int64_t records = 0;
  int64_t validation_records = 0;
  int64_t classes = 0;
  int64_t parameters = 0;
  int64_t steps_per_epoch = 0;
  int64_t total_steps = 0;
  int64_t batch_size = 0;
  int64_t global_batch_size = 0;

  std::string ToJson() const;
};

// A JobSpec as JSON (protobuf's mapping) or serialized, with defaults.
absl::StatusOr<v1::JobSpec> ParseJobSpec(const std::string& bytes);

// Opens the data, reads its head, and builds the model and takes one step on
// one batch (training mode) and one score (validation).
CheckResult CheckJob(const v1::JobSpec& spec);

}  // namespace tfd::worker

#endif  // TFD_WORKER_CHECK_H_
