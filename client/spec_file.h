// The spec of a command: from its file, checked as far as a client can.
#ifndef TFD_CLIENT_SPEC_FILE_H_
#define TFD_CLIENT_SPEC_FILE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/context.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::client {

// Reads, fills in, validates: everything wrong at once.
absl::StatusOr<v1::JobSpec> LoadSpec(const Context& context,
                                     const std::string& path,
                                     const std::vector<std::string>& set);

// Asks `tfd-worker check` whether model and data are there and fit each other.
// Gives what it found out, as JSON; InvalidArgument says what is wrong.
absl::StatusOr<std::string> CheckModelAndData(const Context& context,
                                              const v1::JobSpec& spec);

// FailedPrecondition where the spec's storage (if it is a local folder) holds
// checkpoints and the spec says neither to resume nor to overwrite.
absl::Status CheckStorage(const v1::JobSpec& spec);

}  // namespace tfd::client

#endif  // TFD_CLIENT_SPEC_FILE_H_
