#include "common/task/environment.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/fs/file_system.h"
#include "common/log.h"
#include "common/status.h"

namespace tfd {
namespace {

constexpr char kByHand[] =
    "; is this a task started by hand? `tfd run SPEC` starts a job's tasks";
constexpr absl::string_view kRoles[] = {"ps", "worker", "evaluator", "feed"};
// What was wrong is for people: more than this nobody reads.
constexpr size_t kMaxExitMessageBytes = 64 << 10;

using Variables = std::map<std::string, std::string>;

absl::StatusOr<std::string> Required(const Variables& variables,
                                     const char* name) {
  const auto found = variables.find(name);
  if (found == variables.end() || found->second.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the environment variable ", name, " is not set", kByHand));
  }
  return found->second;
}

absl::Status Wrong(const char* name, absl::string_view value,
                   absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("the environment variable ", name, " is \"", value,
                   "\" and should be ", expected, kByHand));
}

// The contents of the file that a variable names.
absl::StatusOr<std::string> FileOf(const Variables& variables,
                                   const char* name) {
  TFD_ASSIGN_OR_RETURN(const std::string path, Required(variables, name));
  absl::StatusOr<std::string> contents = ReadFile(*LocalFileSystem(), path);
  if (contents.ok()) return contents;
  return absl::InvalidArgumentError(
      absl::StrCat("the file in the environment variable ", name, ": ",
                   contents.status().message(), kByHand));
}

absl::StatusOr<std::string> TokenOf(const Variables& variables,
                                    const char* name) {
  TFD_ASSIGN_OR_RETURN(const std::string text, FileOf(variables, name));
  std::string token(absl::StripAsciiWhitespace(text));
  if (token.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the file in the environment variable ", name, " is empty", kByHand));
  }
  return token;
}

absl::Status ParseTask(TaskEnvironment* environment) {
  const std::string& task = environment->task;
  const size_t slash = task.find('/');
  environment->role = task.substr(0, slash);
  const bool known = std::find(std::begin(kRoles), std::end(kRoles),
                               environment->role) != std::end(kRoles);
  if (!known || slash == std::string::npos ||
      !absl::SimpleAtoi(task.substr(slash + 1), &environment->number) ||
      environment->number < 0) {
    return Wrong(kTaskVariable, task,
                 "ROLE/NUMBER with a role ps, worker, evaluator or feed");
  }
  return absl::OkStatus();
}

}  // namespace

int TaskEnvironment::Threads() const {
  double cpus = 1;
  if (role == "ps") cpus = spec.tasks().ps().cpus();
  if (role == "worker") cpus = spec.tasks().worker().cpus();
  if (role == "evaluator") cpus = spec.tasks().evaluator().cpus();
  return std::max(1, static_cast<int>(cpus));
}

absl::StatusOr<TaskEnvironment> ReadTaskEnvironment() {
  Variables variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view text = *entry;
    const size_t equals = text.find('=');
    if (!absl::StartsWith(text, "TFD_") || equals == absl::string_view::npos) {
      continue;
    }
    variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return ParseTaskEnvironment(variables);
}

absl::StatusOr<TaskEnvironment> ParseTaskEnvironment(
    const Variables& variables) {
  TaskEnvironment environment;
  TFD_ASSIGN_OR_RETURN(environment.coordinator,
                       Required(variables, kCoordinatorVariable));
  TFD_ASSIGN_OR_RETURN(environment.job, Required(variables, kJobVariable));
  TFD_ASSIGN_OR_RETURN(environment.task, Required(variables, kTaskVariable));
  TFD_RETURN_IF_ERROR(ParseTask(&environment));
  TFD_ASSIGN_OR_RETURN(const std::string generation,
                       Required(variables, kGenerationVariable));
  if (!absl::SimpleAtoi(generation, &environment.generation)) {
    return Wrong(kGenerationVariable, generation, "a number");
  }
  TFD_ASSIGN_OR_RETURN(environment.token,
                       TokenOf(variables, kTokenFileVariable));
  TFD_ASSIGN_OR_RETURN(const std::string spec,
                       FileOf(variables, kSpecFileVariable));
  if (!environment.spec.ParseFromString(spec)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file in the environment variable ", kSpecFileVariable,
                     ", ", variables.at(kSpecFileVariable),
                     ", is no serialized JobSpec", kByHand));
  }
  TFD_ASSIGN_OR_RETURN(environment.exit_file,
                       Required(variables, kExitFileVariable));
  TFD_ASSIGN_OR_RETURN(environment.socket_folder,
                       Required(variables, kSocketFolderVariable));
  const bool feeds = environment.role == "feed";
  const bool serves =
      environment.spec.has_predict() && !environment.spec.predict().has_input();
  if (feeds || serves) {
    TFD_ASSIGN_OR_RETURN(environment.feed_token,
                         TokenOf(variables, kFeedTokenFileVariable));
  }
  if (feeds) {
    TFD_ASSIGN_OR_RETURN(environment.spool_folder,
                         Required(variables, kSpoolFolderVariable));
  }
  return environment;
}

void WriteExitFile(const std::string& path, const absl::Status& status) {
  if (status.ok()) return;
  const absl::string_view message =
      absl::string_view(status.message()).substr(0, kMaxExitMessageBytes);
  const absl::Status written =
      WriteFileAtomically(*LocalFileSystem(), path, message);
  // The message is in the log then; there is no other way to say it.
  if (!written.ok()) {
    spdlog::error("cannot leave the exit message: {}", written.message());
  }
}

std::string ReadExitFile(const std::string& path) {
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> file =
      LocalFileSystem()->OpenForReading(path);
  if (!file.ok()) return "";
  std::string message(
      std::min<uint64_t>((*file)->size_bytes(), kMaxExitMessageBytes), '\0');
  if (!(*file)->Read(0, message.size(), message.data()).ok()) return "";
  return message;
}

}  // namespace tfd
