// A job spec from its file to what the coordinator takes: read, defaults
// filled in, paths made absolute, validated.
#ifndef TFD_COMMON_SPEC_JOB_SPEC_H_
#define TFD_COMMON_SPEC_JOB_SPEC_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/spec/yaml_message.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::spec {

struct LoadOptions {
  // The spec's file; relative spec_path fields are relative to its folder.
  std::string path;
  // --set, in order.
  std::vector<std::string> assignments;
  // For ${NAME} and ~.
  std::map<std::string, std::string> variables;
  // work_path fields (storage) are relative to this.
  std::string work_folder;
};

// The whole way. Every problem of text, values and relations is in the one
// InvalidArgument.
absl::StatusOr<v1::JobSpec> LoadJobSpec(const LoadOptions& options);

// Fills every absent field that has a default (rules.default_value, and those
// that depend on others: shuffle, task counts, mlp's hidden layers, adam's lr
// 0.001). Idempotent.
void ApplyDefaults(v1::JobSpec* spec);

// Everything that rules of single fields and of fields together forbid, and
// what is planned and not there yet. Takes a spec with defaults.
std::vector<Problem> ValidateJobSpec(const v1::JobSpec& spec,
                                     const Positions& positions);

// Both specs' differing fields, "optimizer.lr: 0.01 against 0.1", one a line;
// empty where they are equal. (resume and overwrite count too.)
std::string DescribeDifference(const v1::JobSpec& a, const v1::JobSpec& b);

// How many tasks of a role, and what one of them needs.
struct RolePlan {
  std::string role;  // ps, worker, evaluator
  int count = 0;
  double cpus = 0;
  uint64_t memory_bytes = 0;
};
// The roles of a spec with defaults, in the order ps, worker, evaluator;
// without those of count 0. Feeds are not in it: there is one per node that
// has workers, where HasPushedData.
std::vector<RolePlan> RolesOf(const v1::JobSpec& spec);
bool HasPushedData(const v1::JobSpec& spec);
// The training data is pushed, and grows while the job trains on it; and no
// epoch follows the first, so that rows are not needed any more once a
// checkpoint is past them.
bool Grows(const v1::JobSpec& spec);
bool GrowsAndIsReadOnce(const v1::JobSpec& spec);

// Where a worker's trace is, below `storage`'s folder: trace/worker-N.json.
std::string TracePath(const std::string& storage_path, int worker);

}  // namespace tfd::spec

#endif  // TFD_COMMON_SPEC_JOB_SPEC_H_
