// What is done to the features of every record, in training, evaluation and
// inference alike: the spec's steps, fused into one pass from the source's type
// straight into a batch.
#ifndef TFD_DATA_PREPROCESS_H_
#define TFD_DATA_PREPROCESS_H_

#include <cstddef>
#include <vector>

#include "data/dtype.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::data {

using PreprocessSteps = std::vector<v1::PreprocessStep>;

// The explicit steps for features of `dtype`: the spec's own, or, where it has
// none, the default: 8-bit integers are scaled by 1/255, all else stays as it
// is. This list is saved with the model.
PreprocessSteps ResolvePreprocess(const v1::DataSpec& spec, Dtype dtype);

// Steps to apply: those of a spec, whose default follows the type of the
// features, or exactly those of a list. Immutable, thread-safe.
class Preprocess {
 public:
  // The spec's steps, or the default (see ResolvePreprocess).
  explicit Preprocess(const v1::DataSpec& spec);
  // Exactly these, also if there are none: what a model was trained with, for
  // its validation data and for inference, whatever type they have.
  explicit Preprocess(PreprocessSteps steps);

  // The explicit steps for features of `dtype`.
  PreprocessSteps Resolve(Dtype dtype) const;

 private:
  PreprocessSteps steps_;
  bool default_by_dtype_;
};

// All steps as one: out = in · factor + offset. Computed in double and rounded
// once for types that float32 cannot hold exactly (32-bit integers and wider,
// float64), in float32 for the others. Immutable, thread-safe.
class AffineTransform {
 public:
  AffineTransform() = default;
  explicit AffineTransform(const PreprocessSteps& steps);

  // Reads `count` numbers of `dtype` from `in`, aligned or not, in the order of
  // bytes of this machine, and writes as many to `out`.
  void Apply(Dtype dtype, const void* in, size_t count, float* out) const;

  double factor() const { return factor_; }
  double offset() const { return offset_; }

 private:
  double factor_ = 1;
  double offset_ = 0;
};

}  // namespace tfd::data

#endif  // TFD_DATA_PREPROCESS_H_
