#include "daemon/agent/task_key.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tfd::agent {
namespace {

constexpr size_t kMaxJobName = 100;
constexpr size_t kMaxRoleName = 32;
constexpr int kMaxTaskNumber = 999'999;

bool IsRole(absl::string_view role) {
  return !role.empty() && role.size() <= kMaxRoleName &&
         std::all_of(role.begin(), role.end(),
                     [](unsigned char c) { return absl::ascii_islower(c); });
}

// Only the one way to write a number: "7", neither "07" nor "+7".
template <typename Number>
bool ParseNumber(absl::string_view text, Number* number) {
  return absl::SimpleAtoi(text, number) && absl::StrCat(*number) == text;
}

}  // namespace

std::string TaskKey::Task() const { return absl::StrCat(role, "/", number); }

std::string TaskKey::LogFolder() const {
  return absl::StrCat(role, "-", number);
}

std::string TaskKey::StateFolder() const {
  return absl::StrCat(role, "-", number, "-g", generation);
}

std::string TaskKey::ToString() const {
  return absl::StrCat(job, " ", role, "/", number, " (generation ", generation,
                      ")");
}

bool TaskKey::SameTask(const TaskKey& other) const {
  return job == other.job && role == other.role && number == other.number;
}

absl::Status CheckJobName(absl::string_view job) {
  const bool named = std::all_of(job.begin(), job.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
  if (!named || job.empty() || job.front() == '.' || job.size() > kMaxJobName) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", job, "\" is no id of a job: it names folders, so it is 1 to ",
        kMaxJobName,
        " letters, digits, '-', '_' or '.', and does not begin with a dot"));
  }
  return absl::OkStatus();
}

absl::StatusOr<TaskKey> ParseTaskKey(absl::string_view job,
                                     absl::string_view task,
                                     uint64_t generation) {
  if (absl::Status status = CheckJobName(job); !status.ok()) return status;
  const size_t slash = task.find('/');
  TaskKey key;
  key.job = std::string(job);
  key.generation = generation;
  if (slash == absl::string_view::npos || !IsRole(task.substr(0, slash)) ||
      !ParseNumber(task.substr(slash + 1), &key.number) || key.number < 0 ||
      key.number > kMaxTaskNumber) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", task,
                     "\" is no task: it is ROLE/NUMBER, for example "
                     "worker/0, the role in lower case letters"));
  }
  key.role = std::string(task.substr(0, slash));
  return key;
}

absl::StatusOr<TaskKey> ParseFolderName(absl::string_view job,
                                        absl::string_view folder) {
  const size_t first = folder.find('-');
  const size_t second = folder.find("-g");
  uint64_t generation = 0;
  if (first == absl::string_view::npos || second == absl::string_view::npos ||
      second <= first || !ParseNumber(folder.substr(second + 2), &generation)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", folder, "\" is no folder of a task"));
  }
  return ParseTaskKey(
      job,
      absl::StrCat(folder.substr(0, first), "/",
                   folder.substr(first + 1, second - first - 1)),
      generation);
}

}  // namespace tfd::agent
