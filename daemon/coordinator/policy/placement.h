// Where the tasks of a job go: the whole gang, or nothing. A pure function of
// the nodes and the need, which says why in words.
//
// One node that holds the whole gang is preferred (its tasks then exchange
// tensors in memory), and among those the one with the most free cpus, which
// spreads jobs. A gang too large for one node is spread task by task over the
// nodes with the most free cpus; where that leaves fragments, tasks are packed.
#ifndef TFD_DAEMON_COORDINATOR_POLICY_PLACEMENT_H_
#define TFD_DAEMON_COORDINATOR_POLICY_PLACEMENT_H_

#include <string>
#include <vector>

#include "daemon/coordinator/core/event.h"
#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator {

// A node as placement sees it.
struct NodeOffer {
  std::string name;
  Resources offered;
  Resources reserved;
  // Empty where tasks may go there, else why not ("has been silent for 4 s").
  std::string unusable;
};

struct GangPlan {
  // The gang in the order of roles and numbers, with feeds; empty: it waits.
  std::vector<Placement> placements;
  // Why there, or what is missing.
  std::string reason;
  // It would not fit if all these nodes were empty and reachable.
  bool never_fits = false;
};

// What was there of a gang that is placed again.
struct FormerGang {
  // They stay where they are: what was pushed to them is there.
  std::vector<Placement> feeds;
  // The only node that sees the job's storage; empty: there are others.
  std::string node;
};

// `nodes` in any order. A feed is added for each node that gets workers where
// data is pushed; it reserves nothing: it works before the training does.
GangPlan PlaceGang(const JobFacts& need, const std::vector<NodeOffer>& nodes,
                   const FormerGang& former = {});

// One task of a gang whose others are where they are: where it was, if it may
// be there, else where there is most room. A feed, and a job that must be on
// one node, stays.
GangPlan PlaceOne(const JobFacts& need, const Placement& former,
                  const std::vector<NodeOffer>& nodes);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_POLICY_PLACEMENT_H_
