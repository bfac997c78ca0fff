// What a chunk does in the leader of a node: it gives the mean of its slots
// upstream, and its slots what comes back.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "ps/chunk.h"
#include "ps/upstream.h"
#include "tensor/gradient_reader.h"

namespace tfd::ps {
namespace {

// The mean of a block stays in the first-level cache while it is summed.
constexpr size_t kMeanBlockElements = 4096;

}  // namespace

void Chunk::GiveUpstream() {
  NodeContribution contribution;
  contribution.chunk = number_;
  contribution.step = step();
  for (const Slot& slot : slots_) contribution.weight += slot.weight;
  contribution.last = static_cast<int64_t>(contribution.step) + 1 ==
                      context_->total_steps->load();
  const double total_weight = contribution.weight;
  const bool has_buffers =
      trained_ < range_.elements() && slots_[0].held.payload.size_bytes() > 0;
  contribution.idle = total_weight == 0 && !has_buffers;
  if (contribution.idle) return context_->upstream->Push(contribution);
  const absl::Span<float> mean = context_->upstream->MeanOf(number_);
  // Whether they are numbers is for the shards to judge, and what to do if not.
  TakeBuffers(mean).IgnoreError();
  std::vector<tensor::GradientReader> gradients;
  std::vector<float> weights;
  for (const Slot& slot : slots_) {
    // 0 · NaN must not count.
    if (slot.weight == 0) continue;
    gradients.emplace_back(slot.held.header, slot.held.payload);
    weights.push_back(static_cast<float>(slot.weight / total_weight));
  }
  if (gradients.empty()) {
    std::fill_n(mean.begin(), trained_, 0.0f);
  }
  for (size_t begin = 0; begin < trained_ && !gradients.empty();
       begin += kMeanBlockElements) {
    const absl::Span<float> block =
        mean.subspan(begin, std::min(kMeanBlockElements, trained_ - begin));
    gradients[0].SetNext(weights[0], block);
    for (size_t i = 1; i < gradients.size(); ++i) {
      gradients[i].AddNext(weights[i], block);
    }
  }
  context_->upstream->Push(contribution);
}

void Chunk::TakeUpstream(const absl::Status& status) {
  if (!broken_.ok()) return;
  if (!status.ok()) return Break(status);
  // As in Update: nobody asks for the ones before any more.
  upstream_version_ = 1 - upstream_version_;
  previous_ = {};
  ParameterRef next = UpstreamParameters();
  previous_ = std::exchange(current_, std::move(next));
  EndStep();
}

// They are in the worker's version; also kept there, where it is this chunk's
// place.
ParameterRef Chunk::UpstreamParameters() {
  ParameterRef parameters = FreeBuffer();
  if (in_worker()) return parameters;
  const absl::Span<const float> arrived =
      (*context_->worker_parameters)[upstream_version_].span().subspan(
          range_.begin, range_.elements());
  std::copy(arrived.begin(), arrived.end(),
            parameters.BeginWrite().floats.begin());
  parameters.EndWrite();
  return parameters;
}

}  // namespace tfd::ps
