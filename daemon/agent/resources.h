// What an agent offers: what its cgroups and its affinity mask allow.
#ifndef TFD_DAEMON_AGENT_RESOURCES_H_
#define TFD_DAEMON_AGENT_RESOURCES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tfd/v1/job.pb.h"

namespace tfd::agent {

// A limit on this process; absent: none.
struct ResourceLimits {
  std::optional<double> cpus;
  std::optional<uint64_t> memory_bytes;
};

// cgroup v2's cpu.max: "max 100000" or "QUOTA PERIOD" in microseconds.
absl::StatusOr<std::optional<double>> ParseCpuMax(absl::string_view text);
// cgroup v2's memory.max: "max" or bytes.
absl::StatusOr<std::optional<uint64_t>> ParseMemoryMax(absl::string_view text);

// The folders of this process's cgroup (version 2) and of those above it,
// innermost first, from the texts of /proc/self/mountinfo and
// /proc/self/cgroup. Empty where the system has none.
std::vector<std::string> CgroupFolders(absl::string_view mountinfo,
                                       absl::string_view cgroup);

// The tightest limits in these folders. A file that is absent or cannot be
// understood limits nothing.
ResourceLimits ReadCgroupLimits(const std::vector<std::string>& folders);

// MemTotal of /proc/meminfo in bytes.
absl::StatusOr<uint64_t> ParseMemTotal(absl::string_view meminfo);

// What the affinity mask and the cgroups of this process allow.
absl::StatusOr<v1::Resources> DetectResources();

// "cpus=8,memory=32GiB"; what is not named is taken from `detected`.
// InvalidArgument says what is wrong and what can be written. More than
// detected may be offered: it is the operator's word.
absl::StatusOr<v1::Resources> ParseOffer(absl::string_view text,
                                         const v1::Resources& detected);

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_RESOURCES_H_
