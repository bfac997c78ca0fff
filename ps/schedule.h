// The learning rate as a pure function of the step, so that every shard has
// the same without talking to the others, and a resumed job the same as an
// undisturbed one.
#ifndef TFD_PS_SCHEDULE_H_
#define TFD_PS_SCHEDULE_H_

#include <cstdint>

#include "tfd/v1/job_spec.pb.h"

namespace tfd::ps {

// The learning rate for step `step` (from 0) of `total_steps`. Takes a spec
// with defaults, as validated. Steps beyond the last have the last one's rate.
//
// constant: lr. cosine: torch's CosineAnnealingLR to 0 over the steps after
// the warm-up. one_cycle: torch's OneCycleLR (anneal_strategy "cos", two
// phases, div_factor 25, final_div_factor 1e4, pct_start peak_at). Warm-up:
// lr · (step + 1) / warmup_steps.
double LearningRate(const v1::OptimizerSpec& optimizer, int64_t step,
                    int64_t total_steps);

}  // namespace tfd::ps

#endif  // TFD_PS_SCHEDULE_H_
