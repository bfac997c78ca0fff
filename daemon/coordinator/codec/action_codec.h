// The JSON bodies of the Flight actions.
#ifndef TFD_DAEMON_COORDINATOR_CODEC_ACTION_CODEC_H_
#define TFD_DAEMON_COORDINATOR_CODEC_ACTION_CODEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/coordinator/core/state.h"
#include "daemon/coordinator/decide/datasets.h"

namespace tfd::coordinator {

enum class ActionKind { kBegin, kCommit, kAbort, kStatus };

struct DatasetAction {
  ActionKind kind = ActionKind::kStatus;
  ProducerKey key;
  // Of a commit.
  std::vector<CommittedPartition> partitions;
  std::optional<int64_t> batch;
};

// What the actions are called and take, for ListActions.
struct ActionHelp {
  const char* name;
  const char* description;
};
const std::vector<ActionHelp>& AllActions();

// InvalidArgument that says what is wrong with the body and what it should be.
absl::StatusOr<DatasetAction> DecodeAction(const std::string& type,
                                           const std::string& body);

// tfd.v1.DatasetStatus in protobuf's JSON mapping, with the fields' own names;
// and "published", where there is something to say of the batch that was
// committed.
std::string EncodeDatasetJson(const Dataset& dataset,
                              std::optional<bool> published);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CODEC_ACTION_CODEC_H_
