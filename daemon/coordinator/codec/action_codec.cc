#include "daemon/coordinator/codec/action_codec.h"

#include <google/protobuf/util/json_util.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/coordinator/codec/job_codec.h"

namespace tfd::coordinator {
namespace {

using Json = nlohmann::json;

constexpr ActionKind kKinds[] = {ActionKind::kBegin, ActionKind::kCommit,
                                 ActionKind::kAbort, ActionKind::kStatus};

absl::Status Wrong(const ActionHelp& help, const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat("action ", help.name, ": ", what, "; ", help.description));
}

absl::StatusOr<std::string> GetText(const ActionHelp& help, const Json& object,
                                    const char* field) {
  const auto it = object.find(field);
  if (it == object.end()) {
    return Wrong(help, absl::StrCat("\"", field, "\" is missing"));
  }
  if (!it->is_string()) {
    return Wrong(help, absl::StrCat("\"", field, "\" is ", it->type_name(),
                                    ", it must be a string"));
  }
  return it->get<std::string>();
}

absl::Status GetPartitions(const ActionHelp& help, const Json& object,
                           std::vector<CommittedPartition>* partitions) {
  const auto list = object.find("partitions");
  if (list == object.end() || !list->is_array()) {
    return Wrong(help, "\"partitions\" must be an array");
  }
  for (const Json& entry : *list) {
    if (!entry.is_object()) {
      return Wrong(help, "each of \"partitions\" must be an object");
    }
    absl::StatusOr<std::string> name = GetText(help, entry, "partition");
    if (!name.ok()) return name.status();
    absl::StatusOr<std::string> attempt = GetText(help, entry, "attempt");
    if (!attempt.ok()) return attempt.status();
    const auto rows = entry.find("rows");
    if (rows == entry.end() || !rows->is_number_unsigned()) {
      return Wrong(help, absl::StrCat("\"rows\" of partition ", *name,
                                      " must be a count"));
    }
    partitions->push_back({*std::move(name), *std::move(attempt),
                           static_cast<int64_t>(rows->get<uint64_t>())});
  }
  return absl::OkStatus();
}

absl::Status GetBatch(const ActionHelp& help, const Json& object,
                      std::optional<int64_t>* batch) {
  const auto it = object.find("batch");
  if (it == object.end()) return absl::OkStatus();
  if (!it->is_number_unsigned() ||
      it->get<uint64_t>() > std::numeric_limits<int64_t>::max()) {
    return Wrong(help, "\"batch\" must be a number from 0 on");
  }
  *batch = it->get<int64_t>();
  return absl::OkStatus();
}

}  // namespace

const std::vector<ActionHelp>& AllActions() {
  // In the order of kKinds.
  static const auto& kActions = *new std::vector<ActionHelp>{
      {"begin",
       "announces a producer: {\"job\": JOB, \"dataset\": \"train\", "
       "\"producer\": NAME}"},
      {"commit",
       "says what a producer has written: {\"job\": JOB, \"dataset\": "
       "\"train\", \"producer\": NAME, \"partitions\": [{\"partition\": NAME, "
       "\"attempt\": ID, \"rows\": N}]}, and of a stream which batch that was: "
       "\"batch\": N"},
      {"abort",
       "drops all that a producer has written: {\"job\": JOB, \"dataset\": "
       "\"train\", \"producer\": NAME}"},
      {"status",
       "gives the state of a dataset: {\"job\": JOB, \"dataset\": \"train\"}"},
  };
  return kActions;
}

absl::StatusOr<DatasetAction> DecodeAction(const std::string& type,
                                           const std::string& body) {
  const std::vector<ActionHelp>& actions = AllActions();
  size_t index = 0;
  while (index < actions.size() && type != actions[index].name) ++index;
  if (index == actions.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there is no action \"", type, "\" here; there are ",
        absl::StrJoin(actions, ", ",
                      [](std::string* out, const ActionHelp& help) {
                        out->append(help.name);
                      })));
  }
  const ActionHelp& help = actions[index];
  // nlohmann-json does not throw like this.
  const Json object = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return Wrong(help, "its body is no JSON object");
  DatasetAction action;
  action.kind = kKinds[index];
  absl::StatusOr<std::string> job = GetText(help, object, "job");
  if (!job.ok()) return job.status();
  absl::StatusOr<std::string> dataset = GetText(help, object, "dataset");
  if (!dataset.ok()) return dataset.status();
  action.key.job = *std::move(job);
  action.key.dataset = *std::move(dataset);
  if (action.kind != ActionKind::kStatus) {
    absl::StatusOr<std::string> producer = GetText(help, object, "producer");
    if (!producer.ok()) return producer.status();
    action.key.producer = *std::move(producer);
  }
  if (action.kind == ActionKind::kCommit) {
    absl::Status status = GetPartitions(help, object, &action.partitions);
    if (status.ok()) status = GetBatch(help, object, &action.batch);
    if (!status.ok()) return status;
  }
  return action;
}

std::string EncodeDatasetJson(const Dataset& dataset,
                              std::optional<bool> published) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  // It cannot fail: the message has no Any and no foreign fields.
  (void)google::protobuf::util::MessageToJsonString(EncodeDataset(dataset),
                                                    &json, options);
  if (!published.has_value()) return json;
  Json object = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  object["published"] = *published;
  return object.dump();
}

}  // namespace tfd::coordinator
