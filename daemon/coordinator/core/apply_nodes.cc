// Apply: nodes.
#include "absl/strings/str_cat.h"
#include "daemon/coordinator/core/apply_internal.h"
#include "daemon/coordinator/core/lifecycle.h"

namespace tfd::coordinator::internal {

bool Applier::On(const NodeRegistered& event) {
  Node& node = state_.nodes[event.node];
  node.name = event.node;
  node.incarnation = event.incarnation;
  node.offered = event.offered;
  node.endpoint = event.endpoint;
  node.log_token = event.log_token;
  node.version = event.version;
  node.gone = false;
  node.reason.clear();
  Emit(PublishNodes{});
  Emit(ReviewQueue{});
  return true;
}

bool Applier::On(const NodeLost& event) {
  const auto it = state_.nodes.find(event.node);
  if (it == state_.nodes.end()) {
    return Violation(absl::StrCat("there is no node ", event.node));
  }
  const std::set<std::string> active = state_.active;
  for (const std::string& id : active) {
    for (const Task& task : state_.jobs[id].tasks) {
      if (task.node == event.node && !IsEnd(task.state)) {
        return Violation(absl::StrCat("job ", id, " still counts on ",
                                      TaskName(task), " there"));
      }
    }
  }
  // Nobody can say what runs there; it comes back with an account of its own.
  for (const std::string& id : active) {
    Job& job = state_.jobs[id];
    for (Task& task : job.tasks) {
      if (task.node == event.node) task.process_alive = false;
    }
    UpdateActive(job);
  }
  it->second.gone = true;
  it->second.reason = event.reason;
  Emit(PublishNodes{});
  return true;
}

}  // namespace tfd::coordinator::internal
