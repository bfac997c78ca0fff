// A worker's exchange where the workers of a node sum in shared memory and one
// of them talks to the shards (exchange.aggregate: node). Two levels, each an
// exchange with exactly-once keys of its own:
//
//   workers of a node ── the node's layout ──▶ the leader's shard, which sums
//   leaders of nodes ── the job's layout ───▶ the shards of the job
#ifndef TFD_PS_NODE_EXCHANGE_H_
#define TFD_PS_NODE_EXCHANGE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ps/node_plan.h"
#include "ps/shard_client.h"
#include "ps/shard_host.h"
#include "tensor/flat_buffer.h"
#include "tensor/layout.h"

namespace tfd::ps {

struct NodeExchangeParts {
  NodePlan plan;
  // Of the job; its members become the leaders.
  tensor::LayoutParts layout;
  std::shared_ptr<const tensor::ParameterVersions> parameters;
  // Of this process, with sums_only: where the node sums if this is its leader.
  // Outlives the exchange.
  ShardHost* host = nullptr;
  Transport transport = v1::ExchangeSpec::AUTO;
};

// `options` are those of an exchange with the shards of the job, the slot
// aside. Waits up to `patience` for the shards, and as long again for the first
// parameters. A worker that is alone on its node gets an ordinary exchange.
absl::StatusOr<std::unique_ptr<Exchange>> OpenNodeExchange(
    const ExchangeOptions& options, const NodeExchangeParts& parts,
    absl::Duration patience);

}  // namespace tfd::ps

#endif  // TFD_PS_NODE_EXCHANGE_H_
