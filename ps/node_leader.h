// The leader of a node towards the shards of the job: what the workers of the
// node have given is one contribution, and the parameters that come back are
// written where the leader's own worker computes with them.
#ifndef TFD_PS_NODE_LEADER_H_
#define TFD_PS_NODE_LEADER_H_

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "ps/shard_client.h"
#include "ps/upstream.h"
#include "tensor/flat_buffer.h"
#include "tensor/layout.h"

namespace tfd::ps {

// Thread-safe. Owns an exchange with the shards and a thread, "node-leader",
// which waits for its steps.
class NodeLeader final : public Upstream {
 public:
  // Opens the shards and gets (or gives, as slot 0) the first parameters, which
  // are the second version of `parameters` then. Each of the two waits for
  // `patience` at the most.
  static absl::StatusOr<std::unique_ptr<NodeLeader>> Start(
      ExchangeOptions options, const tensor::Layout& layout,
      std::shared_ptr<const tensor::ParameterVersions> parameters,
      absl::Duration patience);
  ~NodeLeader() override;

  void SetOnAnswer(OnAnswer on_answer) override;
  uint64_t step() const override { return first_step_; }
  absl::Span<float> MeanOf(uint32_t chunk) override;
  void Push(const NodeContribution& contribution) override;

  // Nothing is given any more; steps that are under way are given up.
  void Stop();

  // Of the exchange with the shards.
  ExchangeStats stats() const { return exchange_->stats(); }
  std::string WaitsFor() const { return exchange_->WaitsFor(); }

 private:
  explicit NodeLeader(tensor::FlatBuffer means) : means_(std::move(means)) {}
  absl::Status BeginStep(const NodeContribution& contribution)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Arrived(uint32_t chunk);
  void Run();
  absl::Status EndStep();

  // In the flat key space.
  const tensor::FlatBuffer means_;
  // Set before there is anything to answer.
  OnAnswer on_answer_;
  uint64_t first_step_ = 0;

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);
  // A step is under way, with this weight, and so many chunks of it have no new
  // parameters yet.
  bool begun_ ABSL_GUARDED_BY(mutex_) = false;
  double weight_ ABSL_GUARDED_BY(mutex_) = 0;
  uint32_t missing_ ABSL_GUARDED_BY(mutex_) = 0;
  // The one that came last. It is answered when the exchange has ended the
  // step, so that nobody on this node begins the next one before.
  uint32_t last_ ABSL_GUARDED_BY(mutex_) = 0;

  std::unique_ptr<Exchange> exchange_;
  std::thread thread_;
};

}  // namespace tfd::ps

#endif  // TFD_PS_NODE_LEADER_H_
