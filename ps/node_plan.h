// Which workers sum with which (exchange.aggregate: node).
#ifndef TFD_PS_NODE_PLAN_H_
#define TFD_PS_NODE_PLAN_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tfd/v1/task.pb.h"

namespace tfd::ps {

// The name of the group of a node's workers; its one shard is their leader.
inline constexpr char kNodeGroup[] = "node";

// Workers in the order of their numbers.
struct NodePlan {
  // The first worker of every host: the members of the job's layout.
  std::vector<std::string> leaders;
  // Those of this task's host, itself among them; the first is their leader.
  std::vector<std::string> workers;
  v1::Member leader;
};

// FailedPrecondition names a worker that has not said where it runs.
absl::StatusOr<NodePlan> PlanNodes(const v1::Membership& membership,
                                   const std::string& task);

}  // namespace tfd::ps

#endif  // TFD_PS_NODE_PLAN_H_
