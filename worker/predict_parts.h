// A worker's share of a job that predicts (JobSpec.predict with input): parts
// of the output, each a file with the answers to so many records, in their
// order. A part appears whole or not at all and is never computed twice, so
// that a job that is started again goes on where the one before was stopped.
#ifndef TFD_WORKER_PREDICT_PARTS_H_
#define TFD_WORKER_PREDICT_PARTS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "tfd/v1/job_spec.pb.h"
#include "worker/model_file.h"

namespace tfd::worker {

// Beside the parts: what they are answers of, so that nothing else is mixed in.
inline constexpr char kPredictionsFile[] = "predictions.json";

// "part-00012.jsonl".
std::string PartName(int64_t part, v1::PredictSpec::Format format);

struct PartsOptions {
  // With defaults.
  v1::PredictSpec spec;
  // This worker's number, and how many there are: each has a run of parts.
  int worker = 0;
  int workers = 1;
  int threads = 1;
};

struct PartsProgress {
  int64_t parts = 0;
  int64_t records = 0;
  int64_t part_records = 0;
  // Of this worker's parts.
  int64_t own_parts = 0;
  int64_t done_parts = 0;
  // Computed by this run.
  int64_t done_records = 0;
  double seconds = 0;
};

// Whose answers are in the folder that the spec says: this job's, of a job with
// the same answers, or nobody's yet. FailedPrecondition where they are others.
// `records` are the input's.
absl::Status CheckOutput(const v1::PredictSpec& spec,
                         const ModelDescription& model, uint64_t records);

// `progress` is called before the first part, after each, and now and then in
// between; what else than OK it says ends the run.
absl::Status PredictParts(
    const PartsOptions& options,
    const std::function<absl::Status(const PartsProgress&)>& progress);

}  // namespace tfd::worker

#endif  // TFD_WORKER_PREDICT_PARTS_H_
