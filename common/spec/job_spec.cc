#include "common/spec/job_spec.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/fs/file_system.h"
#include "common/spec/field.h"
#include "common/spec/filler.h"
#include "common/spec/relations.h"
#include "common/spec/rules.h"
#include "common/status.h"

namespace tfd::spec {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// A spec is a page; a larger file is another one by mistake.
constexpr size_t kLargestSpecBytes = 1 << 20;

// An absolute path too becomes what it is without "..", "//" and a last "/", so
// that a folder has one spelling. Links are not looked at: the path may be
// another machine's.
std::string MakeAbsolute(const std::string& path, const std::string& folder) {
  if (path.empty() || absl::StrContains(path, "://")) return path;
  std::string normal =
      (std::filesystem::path(folder) / path).lexically_normal().string();
  if (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return normal;
}

absl::StatusOr<std::string> ReadSpec(const std::string& path) {
  TFD_ASSIGN_OR_RETURN(const FileInfo info, LocalFileSystem()->Stat(path));
  if (info.is_folder) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        " is a folder; name the YAML file of a job, tfd init writes one"));
  }
  // Not by the size in `info`: a pipe (/dev/stdin) has none.
  std::ifstream file(path, std::ios::binary);
  std::string text(kLargestSpecBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " cannot be read; may you read it?"));
  }
  text.resize(file.gcount());
  if (text.size() > kLargestSpecBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is larger than ", kLargestSpecBytes,
                     " bytes and can be no job spec; is it the right file?"));
  }
  return text;
}

// Whether there is anything but white space and comments.
bool HasContent(absl::string_view text) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty() && line[0] != '#') return true;
  }
  return false;
}

void MakePathsAbsolute(const std::string& spec_folder,
                       const std::string& work_folder, Message* message) {
  const Reflection* reflection = message->GetReflection();
  const google::protobuf::Descriptor* type = message->GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->is_repeated() || !IsSet(*message, field)) continue;
    const v1::FieldRules& rules = Rules(field);
    if (field->message_type() != nullptr) {
      MakePathsAbsolute(spec_folder, work_folder,
                        reflection->MutableMessage(message, field));
    } else if (rules.spec_path() || rules.work_path()) {
      reflection->SetString(
          message, field,
          MakeAbsolute(reflection->GetString(*message, field),
                       rules.spec_path() ? spec_folder : work_folder));
    }
  }
}

// A field that --set gives is no longer wrong in the text.
void DropOverridden(absl::string_view assignment,
                    std::vector<Problem>* problems) {
  const std::string path(
      absl::StripAsciiWhitespace(assignment.substr(0, assignment.find('='))));
  const auto overridden = [&](const Problem& problem) {
    for (std::string at = problem.field; !at.empty(); at = ParentField(at)) {
      if (at == path) return true;
    }
    return false;
  };
  problems->erase(
      std::remove_if(problems->begin(), problems->end(), overridden),
      problems->end());
}

// Fills `spec` from text and assignments; what is wrong with them.
std::vector<Problem> Fill(const LoadOptions& options, const std::string& text,
                          v1::JobSpec* spec, Positions* positions) {
  std::vector<Problem> problems =
      FillFromYaml(text, options.variables, spec, positions);
  for (const std::string& assignment : options.assignments) {
    std::vector<Problem> more =
        SetField(assignment, options.variables, spec, positions);
    if (more.empty()) DropOverridden(assignment, &problems);
    for (Problem& problem : more) problems.push_back(std::move(problem));
  }
  return problems;
}

}  // namespace

absl::StatusOr<v1::JobSpec> LoadJobSpec(const LoadOptions& options) {
  const std::string work_folder = options.work_folder.empty()
                                      ? std::filesystem::current_path().string()
                                      : options.work_folder;
  const std::string path = MakeAbsolute(options.path, work_folder);
  TFD_ASSIGN_OR_RETURN(const std::string text, ReadSpec(path));
  if (!HasContent(text)) {
    return absl::InvalidArgumentError(absl::StrCat(
        options.path, " is empty; tfd init writes a spec to start from"));
  }
  v1::JobSpec spec;
  Positions positions;
  std::vector<Problem> problems = Fill(options, text, &spec, &positions);
  std::set<std::string> broken;
  for (const Problem& problem : problems) {
    // What is no YAML, or no map, has no field; nothing follows from the rest.
    if (problem.field.empty() && problem.position.origin.empty()) {
      return ProblemsToStatus(options.path, problems);
    }
    broken.insert(problem.field);
    broken.insert(problem.suggestion);
  }
  MakePathsAbsolute(std::filesystem::path(path).parent_path().string(),
                    work_folder, &spec);
  ApplyDefaults(&spec);
  for (Problem& problem : Validate(spec, positions, std::move(broken))) {
    problems.push_back(std::move(problem));
  }
  SortProblems(&problems);
  TFD_RETURN_IF_ERROR(ProblemsToStatus(options.path, problems));
  return spec;
}

std::vector<Problem> Validate(const v1::JobSpec& spec,
                              const Positions& positions,
                              std::set<std::string> broken) {
  broken.erase("");
  Reporter reporter(positions, std::move(broken));
  CheckRules(spec, "", &reporter);
  // What compares fields says nothing about those that are wrong by themselves.
  reporter.MarkReportedAsBroken();
  CheckRelations(spec, &reporter);
  std::vector<Problem> problems = reporter.Take();
  SortProblems(&problems);
  return problems;
}

std::vector<Problem> ValidateJobSpec(const v1::JobSpec& spec,
                                     const Positions& positions) {
  return Validate(spec, positions, {});
}

std::vector<RolePlan> RolesOf(const v1::JobSpec& spec) {
  std::vector<RolePlan> roles;
  const v1::TasksSpec& tasks = spec.tasks();
  const auto add = [&](const char* name, bool has, const v1::RoleSpec& role) {
    if (has && role.count() > 0) {
      roles.push_back({name, role.count(), role.cpus(), role.memory()});
    }
  };
  add("ps", tasks.has_ps(), tasks.ps());
  add("worker", tasks.has_worker(), tasks.worker());
  add("evaluator", tasks.has_evaluator(), tasks.evaluator());
  return roles;
}

std::string TracePath(const std::string& storage_path, int worker) {
  return JoinPath(storage_path, absl::StrCat("trace/worker-", worker, ".json"));
}

bool HasPushedData(const v1::JobSpec& spec) {
  return spec.data().train().format() == v1::DatasetSpec::PUSHED ||
         spec.data().validation().format() == v1::DatasetSpec::PUSHED;
}

bool Grows(const v1::JobSpec& spec) {
  const v1::DatasetSpec& train = spec.data().train();
  return train.format() == v1::DatasetSpec::PUSHED &&
         (train.stream() || train.publish() == v1::DatasetSpec::SEAL);
}

bool GrowsAndIsReadOnce(const v1::JobSpec& spec) {
  const bool one_epoch = spec.stop().has_epochs() && spec.stop().epochs() == 1;
  return Grows(spec) && (spec.data().train().stream() || one_epoch);
}

}  // namespace tfd::spec
