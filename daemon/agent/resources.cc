#include "daemon/agent/resources.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/units.h"

namespace tfd::agent {
namespace {

constexpr char kOfferHelp[] =
    "; --offer takes for example cpus=8,memory=32GiB, each at most once";
// In /proc/self/mountinfo: the root of the mount and where it is mounted;
// after a dash come the type and more (proc(5)).
constexpr size_t kMountRootField = 3;
constexpr size_t kMountPointField = 4;

std::optional<std::string> ReadText(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

template <typename Value>
void Tighten(std::optional<Value>& limit, const std::optional<Value>& other) {
  if (other && (!limit || *other < *limit)) limit = other;
}

struct Mount {
  std::string root;
  std::string point;
};

std::optional<Mount> FindCgroupMount(absl::string_view mountinfo) {
  for (const absl::string_view line : absl::StrSplit(mountinfo, '\n')) {
    const std::vector<std::string> parts =
        absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (parts.size() != 2 || !absl::StartsWith(parts[1], "cgroup2 ")) continue;
    const std::vector<std::string> fields = absl::StrSplit(parts[0], ' ');
    if (fields.size() <= kMountPointField) continue;
    return Mount{fields[kMountRootField], fields[kMountPointField]};
  }
  return std::nullopt;
}

absl::StatusOr<double> AffinityCpus() {
  // A machine may have more processors than cpu_set_t has bits.
  for (int cpus = CPU_SETSIZE; cpus <= CPU_SETSIZE * 64; cpus *= 2) {
    cpu_set_t* const set = CPU_ALLOC(cpus);
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const int error = sched_getaffinity(0, bytes, set) == 0 ? 0 : errno;
    const int count = error == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (error == 0) return count;
    if (error != EINVAL) {
      return absl::ErrnoToStatus(error, "cannot read the affinity mask");
    }
  }
  return absl::InternalError("the affinity mask is too large to read");
}

absl::Status BadOffer(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(what, kOfferHelp));
}

}  // namespace

absl::StatusOr<std::optional<double>> ParseCpuMax(absl::string_view text) {
  const std::vector<std::string> fields =
      absl::StrSplit(absl::StripAsciiWhitespace(text), ' ', absl::SkipEmpty());
  double quota = 0;
  double period = 0;
  if (fields.size() == 2 && absl::SimpleAtod(fields[1], &period) &&
      period > 0) {
    if (fields[0] == "max") return std::nullopt;
    if (absl::SimpleAtod(fields[0], &quota) && quota > 0) {
      return quota / period;
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("cpu.max is \"", text, "\", not QUOTA PERIOD"));
}

absl::StatusOr<std::optional<uint64_t>> ParseMemoryMax(absl::string_view text) {
  const absl::string_view value = absl::StripAsciiWhitespace(text);
  uint64_t bytes = 0;
  if (value == "max") return std::nullopt;
  if (absl::SimpleAtoi(value, &bytes)) return bytes;
  return absl::InvalidArgumentError(
      absl::StrCat("memory.max is \"", text, "\", not a number of bytes"));
}

std::vector<std::string> CgroupFolders(absl::string_view mountinfo,
                                       absl::string_view cgroup) {
  const std::optional<Mount> mount = FindCgroupMount(mountinfo);
  std::string path;
  for (absl::string_view line : absl::StrSplit(cgroup, '\n')) {
    if (absl::ConsumePrefix(&line, "0::")) path = std::string(line);
  }
  if (!mount || path.empty()) return {};
  // A mount may show only a part of the tree, in which ours may not be.
  absl::string_view below = path;
  if (mount->root != "/" && !absl::ConsumePrefix(&below, mount->root)) {
    below = "";
  }
  std::vector<std::string> folders = {mount->point};
  for (const absl::string_view name :
       absl::StrSplit(below, '/', absl::SkipEmpty())) {
    // Outside this cgroup namespace.
    if (name == "..") return {mount->point};
    folders.push_back(absl::StrCat(folders.back(), "/", name));
  }
  std::reverse(folders.begin(), folders.end());
  return folders;
}

ResourceLimits ReadCgroupLimits(const std::vector<std::string>& folders) {
  ResourceLimits limits;
  for (const std::string& folder : folders) {
    if (const auto text = ReadText(folder + "/cpu.max")) {
      if (const auto cpus = ParseCpuMax(*text); cpus.ok()) {
        Tighten(limits.cpus, *cpus);
      }
    }
    if (const auto text = ReadText(folder + "/memory.max")) {
      if (const auto bytes = ParseMemoryMax(*text); bytes.ok()) {
        Tighten(limits.memory_bytes, *bytes);
      }
    }
  }
  return limits;
}

absl::StatusOr<uint64_t> ParseMemTotal(absl::string_view meminfo) {
  for (absl::string_view line : absl::StrSplit(meminfo, '\n')) {
    uint64_t kib = 0;
    if (!absl::ConsumePrefix(&line, "MemTotal:")) continue;
    line = absl::StripAsciiWhitespace(line);
    if (absl::ConsumeSuffix(&line, " kB") &&
        absl::SimpleAtoi(absl::StripAsciiWhitespace(line), &kib)) {
      return kib << 10;
    }
  }
  return absl::InternalError("/proc/meminfo does not say MemTotal");
}

absl::StatusOr<v1::Resources> DetectResources() {
  const absl::StatusOr<double> cpus = AffinityCpus();
  if (!cpus.ok()) return cpus.status();
  const absl::StatusOr<uint64_t> memory =
      ParseMemTotal(ReadText("/proc/meminfo").value_or(""));
  if (!memory.ok()) return memory.status();
  const ResourceLimits limits = ReadCgroupLimits(
      CgroupFolders(ReadText("/proc/self/mountinfo").value_or(""),
                    ReadText("/proc/self/cgroup").value_or("")));
  v1::Resources resources;
  resources.set_cpus(std::min(*cpus, limits.cpus.value_or(*cpus)));
  resources.set_memory_bytes(
      std::min(*memory, limits.memory_bytes.value_or(*memory)));
  return resources;
}

absl::StatusOr<v1::Resources> ParseOffer(absl::string_view text,
                                         const v1::Resources& detected) {
  v1::Resources resources;
  for (const absl::string_view part :
       absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::vector<std::string> sides =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    const std::string name(absl::StripAsciiWhitespace(sides[0]));
    const std::string value(
        absl::StripAsciiWhitespace(sides.size() == 2 ? sides[1] : ""));
    if (name == "cpus") {
      double cpus = 0;
      if (resources.cpus() != 0 || !absl::SimpleAtod(value, &cpus) ||
          !std::isfinite(cpus) || cpus <= 0) {
        return BadOffer(absl::StrCat("cpus=", value,
                                     " is no positive number, or given twice"));
      }
      resources.set_cpus(cpus);
    } else if (name == "memory") {
      const absl::StatusOr<uint64_t> bytes = ParseBytes(value);
      if (resources.memory_bytes() != 0 || !bytes.ok() || *bytes == 0) {
        return BadOffer(
            absl::StrCat("memory=", value, " is no size, or given twice"));
      }
      resources.set_memory_bytes(*bytes);
    } else {
      return BadOffer(absl::StrCat("\"", name, "\" cannot be offered"));
    }
  }
  if (resources.cpus() == 0) resources.set_cpus(detected.cpus());
  if (resources.memory_bytes() == 0) {
    resources.set_memory_bytes(detected.memory_bytes());
  }
  return resources;
}

}  // namespace tfd::agent
