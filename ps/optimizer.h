// Optimizers over spans of numbers: one pass over memory per update.
#ifndef TFD_PS_OPTIMIZER_H_
#define TFD_PS_OPTIMIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::ps {

// What an update needs to know besides numbers.
struct UpdateInfo {
  double learning_rate = 0;
  // The gradient is gradient_scale · sum.
  float gradient_scale = 1;
  // How often the optimizer has been applied, this time included: from 1.
  uint64_t update = 1;
};

// The arrays of one update, all of the same length, none overlapping another.
struct UpdateArrays {
  absl::Span<const float> parameters;
  absl::Span<const float> sum;
  // One per name in state_names(), all zero before the first update.
  absl::Span<float* const> state;
  absl::Span<float> new_parameters;
};

// Immutable; the state is the caller's. Thread-safe for different arrays.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // As in the spec and in manifests: "sgd", "adam".
  virtual const std::string& name() const = 0;
  // What it keeps per parameter, as checkpoints name it: {"adam.m", "adam.v"}.
  virtual const std::vector<std::string>& state_names() const = 0;
  virtual void Apply(const UpdateInfo& info,
                     const UpdateArrays& arrays) const = 0;
};

// sgd as torch.optim.SGD (dampening 0, no Nesterov), adam as torch.optim.Adam.
// Takes a spec with defaults. Unimplemented names the optimizers there are.
absl::StatusOr<std::unique_ptr<Optimizer>> MakeOptimizer(
    const v1::OptimizerSpec& spec);

}  // namespace tfd::ps

#endif  // TFD_PS_OPTIMIZER_H_
