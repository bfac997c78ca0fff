// From a job's spec to what the coordinator keeps of it.
#ifndef TFD_DAEMON_COORDINATOR_CODEC_SPEC_CODEC_H_
#define TFD_DAEMON_COORDINATOR_CODEC_SPEC_CODEC_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/coordinator/core/state.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::coordinator {

// Fills in defaults and validates: every problem in one InvalidArgument.
absl::Status NormaliseSpec(v1::JobSpec* spec);

// Of a spec with defaults, validated.
JobFacts FactsOf(const v1::JobSpec& spec);

// Equal specs give equal bytes.
std::string SerializeSpec(const v1::JobSpec& spec);

// AlreadyExists that says how the spec of job `id` differs from `submitted`; OK
// where it does not (only its bytes do, by another version's hand).
absl::Status CompareSpecs(const std::string& id, const std::string& existing,
                          const v1::JobSpec& submitted);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CODEC_SPEC_CODEC_H_
