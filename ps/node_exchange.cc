#include "ps/node_exchange.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status.h"
#include "ps/node_leader.h"

namespace tfd::ps {
namespace {

// The leader's own: its worker's exchange with the shard of this process, and
// what goes on behind that.
class LeaderExchange final : public Exchange {
 public:
  // `leader` outlives it.
  LeaderExchange(std::unique_ptr<Exchange> local, NodeLeader* leader)
      : local_(std::move(local)), leader_(leader) {}
  ~LeaderExchange() override {
    local_.reset();
    // The last step's parameters are here, or the task is failing.
    leader_->Stop();
  }

  const tensor::Layout& layout() const override { return local_->layout(); }
  int64_t step() const override { return local_->step(); }
  bool initialised() const override { return local_->initialised(); }
  int version() const override { return local_->version(); }
  absl::Status Initialise(absl::Time deadline) override {
    return local_->Initialise(deadline);
  }
  absl::Status BeginStep(const StepInfo& step) override {
    return local_->BeginStep(step);
  }
  absl::Status PushChunk(uint32_t chunk, const float* gradient) override {
    return local_->PushChunk(chunk, gradient);
  }
  absl::Status PushAll(const float* gradient) override {
    return local_->PushAll(gradient);
  }
  absl::Status WaitStep(absl::Time deadline) override {
    const absl::Status status = local_->WaitStep(deadline);
    if (!absl::IsDeadlineExceeded(status)) return status;
    const std::string behind = leader_->WaitsFor();
    if (behind.empty()) return status;
    return absl::DeadlineExceededError(absl::StrCat(
        std::string(status.message()), "; for its node, ", behind));
  }
  void Cancel(const absl::Status& why) override { local_->Cancel(why); }
  std::string WaitsFor() const override { return local_->WaitsFor(); }

  ExchangeStats stats() const override {
    ExchangeStats stats = local_->stats();
    const ExchangeStats behind = leader_->stats();
    stats.bytes_sent += behind.bytes_sent;
    stats.bytes_received += behind.bytes_received;
    stats.bytes_copied += behind.bytes_copied;
    stats.reconnects += behind.reconnects;
    return stats;
  }

 private:
  std::unique_ptr<Exchange> local_;
  NodeLeader* const leader_;
};

absl::StatusOr<tensor::Layout> NodeLayout(const NodeExchangeParts& parts,
                                          const tensor::Layout& job) {
  tensor::LayoutParts node = parts.layout;
  node.group = kNodeGroup;
  node.members = parts.plan.workers;
  node.shards = {parts.plan.leader.task()};
  // The same chunks: a sum is pushed as what it is.
  node.chunk_elements = job.chunk_elements();
  return tensor::Layout::Build(node);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Exchange>> OpenNodeExchange(
    const ExchangeOptions& options, const NodeExchangeParts& parts,
    absl::Duration patience) {
  const NodePlan& plan = parts.plan;
  tensor::LayoutParts job_parts = parts.layout;
  job_parts.members = plan.leaders;
  TFD_ASSIGN_OR_RETURN(const tensor::Layout job,
                       tensor::Layout::Build(job_parts));
  ExchangeOptions upstream = options;
  if (plan.leader.task() == options.task) {
    TFD_ASSIGN_OR_RETURN(upstream.slot, job.SlotOf(options.task));
    if (plan.workers.size() == 1) {
      return Exchange::Open(upstream, job, parts.parameters,
                            absl::Now() + patience);
    }
  }
  TFD_ASSIGN_OR_RETURN(const tensor::Layout node, NodeLayout(parts, job));
  ExchangeOptions local = options;
  TFD_ASSIGN_OR_RETURN(local.slot, node.SlotOf(options.task));
  TFD_ASSIGN_OR_RETURN(const ShardAddress address,
                       ShardAddressOf(plan.leader, parts.transport));
  local.shards = {address};
  local.payload = v1::ExchangeSpec::FLOAT32;
  local.top_k = 1;
  if (plan.leader.task() != options.task) {
    // It answers when it has the first parameters.
    return Exchange::Open(local, node, parts.parameters,
                          absl::Now() + 3 * patience);
  }
  TFD_ASSIGN_OR_RETURN(
      std::unique_ptr<NodeLeader> leader,
      NodeLeader::Start(upstream, job, parts.parameters, patience));
  NodeLeader* const behind = leader.get();
  parts.host->SetUpstream(std::move(leader));
  local.own_shard = parts.host;
  TFD_ASSIGN_OR_RETURN(
      std::unique_ptr<Exchange> own,
      Exchange::Open(local, node, parts.parameters, absl::Now() + patience));
  return std::make_unique<LeaderExchange>(std::move(own), behind);
}

}  // namespace tfd::ps
