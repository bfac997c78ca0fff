#include "daemon/coordinator/codec/spec_codec.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/fs/file_system.h"
#include "common/spec/job_spec.h"
#include "daemon/coordinator/codec/serialize.h"
#include "daemon/coordinator/codec/value_codec.h"

namespace tfd::coordinator {
namespace {

// A path, or a file: URI.
bool IsLocal(const std::string& uri) {
  return absl::StartsWith(uri, "file:") || !absl::StrContains(uri, "://");
}

void AddDataset(const char* name, const v1::DatasetSpec& dataset,
                JobFacts* facts) {
  if (dataset.format() != v1::DatasetSpec::PUSHED) return;
  PushedDataset pushed;
  pushed.name = name;
  pushed.producers = dataset.producers();
  facts->pushed.push_back(std::move(pushed));
}

// How the training data grows; after AddDataset.
void AddGrowth(const v1::JobSpec& spec, JobFacts* facts) {
  const v1::DatasetSpec& train = spec.data().train();
  for (PushedDataset& pushed : facts->pushed) {
    if (pushed.name != kTrainingDataset) continue;
    pushed.growth = train.stream()                             ? Growth::kStream
                    : train.publish() == v1::DatasetSpec::SEAL ? Growth::kSeal
                                                               : Growth::kNone;
    pushed.read_once = spec::GrowsAndIsReadOnce(spec);
    const int64_t of_workers =
        train.has_global_batch_size()
            ? int64_t{train.global_batch_size()}
            : int64_t{train.batch_size()} *
                  std::max(1, spec.strategy().accumulate_steps()) *
                  spec.tasks().worker().count();
    pushed.step_rows = std::max<int64_t>(1, of_workers);
  }
}

// Two jobs in one folder are found by comparing these; and whoever submits may
// have written it otherwise than `tfd` does.
std::string OneSpelling(const std::string& uri) {
  if (!IsLocal(uri)) return uri;
  const absl::StatusOr<Location> location = ResolveUri(uri);
  return location.ok() ? location->path : uri;
}

}  // namespace

absl::Status NormaliseSpec(v1::JobSpec* spec) {
  spec::ApplyDefaults(spec);
  const std::vector<spec::Problem> problems =
      spec::ValidateJobSpec(*spec, spec::Positions());
  if (problems.empty()) return absl::OkStatus();
  return spec::ProblemsToStatus("the submitted spec", problems);
}

JobFacts FactsOf(const v1::JobSpec& spec) {
  JobFacts facts;
  facts.name = spec.name();
  for (const spec::RolePlan& plan : spec::RolesOf(spec)) {
    RoleNeed need;
    need.role = ParseRole(plan.role).value_or(Role::kWorker);
    need.count = plan.count;
    need.each.millicpus = Millicpus(plan.cpus);
    need.each.memory_bytes = plan.memory_bytes;
    facts.roles.push_back(need);
  }
  facts.max_failures = spec.restart().max_failures();
  if (spec.has_predict()) {
    facts.replaceable_workers = true;
    facts.purpose =
        spec.predict().has_input() ? Purpose::kPredict : Purpose::kServe;
    facts.storage = spec.predict().output();
    facts.one_node = !facts.storage.empty() && IsLocal(facts.storage) &&
                     !spec.storage().shared();
    return facts;
  }
  const v1::DataSpec& data = spec.data();
  if (data.has_train()) {
    AddDataset(kTrainingDataset, data.train(), &facts);
    AddGrowth(spec, &facts);
  }
  if (data.has_validation()) {
    facts.has_validation = true;
    AddDataset("validation", data.validation(), &facts);
  }
  if (spec.stop().has_target()) {
    const v1::TargetSpec& from = spec.stop().target();
    Target target;
    target.metric = from.metric();
    if (from.has_at_least()) target.at_least = from.at_least();
    if (from.has_at_most()) target.at_most = from.at_most();
    facts.target = target;
  }
  facts.replaceable_workers =
      spec.strategy().name() == v1::StrategySpec::PARAMETER_SERVER &&
      spec.exchange().aggregate() != v1::ExchangeSpec::NODE;
  if (spec.deterministic() && spec.exchange().has_top_k() &&
      spec.exchange().top_k() < 1) {
    // What workers had not sent yet is in no checkpoint.
    facts.max_failures = 0;
  }
  facts.keep = spec.checkpoint().keep();
  facts.storage = OneSpelling(spec.storage().uri());
  facts.one_node = IsLocal(facts.storage) && !spec.storage().shared();
  return facts;
}

std::string SerializeSpec(const v1::JobSpec& spec) {
  return SerializeInOrder(spec);
}

absl::Status CompareSpecs(const std::string& id, const std::string& existing,
                          const v1::JobSpec& submitted) {
  v1::JobSpec known;
  if (!known.ParseFromString(existing)) {
    return absl::DataLossError(
        absl::StrCat("the spec of job ", id, " cannot be read any more"));
  }
  const std::string difference = spec::DescribeDifference(known, submitted);
  if (difference.empty()) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(
      "job ", id, " is there already, with another spec; its value against ",
      "the submitted one:\n", difference,
      "\nChoose another --id, or submit the same spec"));
}

}  // namespace tfd::coordinator
