// To whom the leader of a node gives what the workers of its node have given to
// it (exchange.aggregate: node), and who tells it the parameters that come of
// it.
#ifndef TFD_PS_UPSTREAM_H_
#define TFD_PS_UPSTREAM_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace tfd::ps {

// What the workers of a node give in one step, for one chunk.
struct NodeContribution {
  uint32_t chunk = 0;
  uint64_t step = 0;
  // The sum of theirs; the same for all chunks of a step.
  double weight = 0;
  // None of them has anything to give.
  bool idle = false;
  // One of them says that no step follows.
  bool last = false;
};

// Thread-safe. Whoever destroys it sees to it that nothing calls it any more;
// then it calls nobody.
class Upstream {
 public:
  virtual ~Upstream() = default;

  // The next parameters of a chunk are in the other version of the worker's
  // parameters, or why they never will be. Once per Push, on any thread; must
  // not block.
  using OnAnswer = std::function<void(uint32_t chunk, const absl::Status&)>;

  // Once, before the first Push.
  virtual void SetOnAnswer(OnAnswer on_answer) = 0;
  // The second version of the worker's parameters is complete: after so many
  // steps.
  virtual uint64_t step() const = 0;
  // Where the weighted mean of a chunk's gradients is to be written, with its
  // buffers. The caller's from the answer for the chunk to the next Push.
  virtual absl::Span<float> MeanOf(uint32_t chunk) = 0;
  // Every chunk of a step once, before any of the next. Never blocks.
  virtual void Push(const NodeContribution& contribution) = 0;
};

}  // namespace tfd::ps

#endif  // TFD_PS_UPSTREAM_H_
