#include "client/spec_file.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/format.h"
#include "common/child_process.h"
#include "common/fs/file_system.h"
#include "common/spec/job_spec.h"
#include "common/status.h"

namespace tfd::client {
namespace {

// LibTorch loads within a second; opening large data may take some more.
constexpr absl::Duration kCheckTimeout = absl::Seconds(120);

}  // namespace

absl::StatusOr<v1::JobSpec> LoadSpec(const Context& context,
                                     const std::string& path,
                                     const std::vector<std::string>& set) {
  spec::LoadOptions options;
  options.path = context.Absolute(path);
  options.assignments = set;
  options.variables = context.variables;
  options.work_folder = context.work_folder;
  return spec::LoadJobSpec(options);
}

absl::StatusOr<std::string> CheckModelAndData(const Context& context,
                                              const v1::JobSpec& spec) {
  TFD_ASSIGN_OR_RETURN(
      RunResult result,
      RunToEnd({context.Program("tfd-worker"), "check", "--spec", "-"},
               ToJson(spec), kCheckTimeout));
  if (result.exit.ok()) return result.output;
  std::string text(absl::StripAsciiWhitespace(result.errors));
  if (text.empty()) {
    return absl::InternalError(
        absl::StrCat("tfd-worker check: ", result.exit.ToString()));
  }
  return absl::InvalidArgumentError(text);
}

absl::Status CheckStorage(const v1::JobSpec& spec) {
  if (spec.resume() || spec.overwrite() || spec.has_predict())
    return absl::OkStatus();
  absl::StatusOr<Location> location = ResolveUri(spec.storage().uri());
  // A storage that this process cannot read is checked by the job itself.
  if (!location.ok()) return absl::OkStatus();
  std::string index = JoinPath(location->path, "checkpoints/committed.json");
  if (!location->file_system->Stat(index).ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "storage ", spec.storage().uri(),
      " already holds checkpoints of an earlier job; --resume goes on from "
      "the newest, --overwrite starts anew and deletes them, and "
      "--set storage=FOLDER leaves them alone"));
}

}  // namespace tfd::client
