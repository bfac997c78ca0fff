#include "data/preprocess.h"

#include <cstdint>
#include <cstring>
#include <utility>

namespace tfd::data {
namespace {

// What 8-bit integers are scaled by where the spec says nothing.
constexpr double kByteScale = 1.0 / 255;

// T is the source's type, Real the one it is computed in.
template <typename T, typename Real>
void ApplyTo(const void* in, size_t count, double factor, double offset,
             float* out) {
  const auto* bytes = static_cast<const unsigned char*>(in);
  const Real a = static_cast<Real>(factor);
  const Real b = static_cast<Real>(offset);
  for (size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));  // maybe unaligned
    out[i] = static_cast<float>(static_cast<Real>(value) * a + b);
  }
}

}  // namespace

PreprocessSteps ResolvePreprocess(const v1::DataSpec& spec, Dtype dtype) {
  return Preprocess(spec).Resolve(dtype);
}

Preprocess::Preprocess(const v1::DataSpec& spec)
    : steps_(spec.preprocess().begin(), spec.preprocess().end()),
      default_by_dtype_(spec.preprocess().empty()) {}

Preprocess::Preprocess(PreprocessSteps steps)
    : steps_(std::move(steps)), default_by_dtype_(false) {}

PreprocessSteps Preprocess::Resolve(Dtype dtype) const {
  if (!default_by_dtype_ || SizeBytes(dtype) != 1) return steps_;
  PreprocessSteps steps(1);
  steps[0].set_scale(kByteScale);
  return steps;
}

AffineTransform::AffineTransform(const PreprocessSteps& steps) {
  for (const v1::PreprocessStep& step : steps) {
    double factor = 1;
    double offset = 0;
    if (step.has_scale()) {
      factor = step.scale();
    } else if (step.has_normalise()) {
      factor = 1 / step.normalise().std();
      offset = -step.normalise().mean() / step.normalise().std();
    }
    factor_ *= factor;
    offset_ = offset_ * factor + offset;
  }
}

void AffineTransform::Apply(Dtype dtype, const void* in, size_t count,
                            float* out) const {
  switch (dtype) {
    case Dtype::kUint8:
      return ApplyTo<uint8_t, float>(in, count, factor_, offset_, out);
    case Dtype::kInt8:
      return ApplyTo<int8_t, float>(in, count, factor_, offset_, out);
    case Dtype::kUint16:
      return ApplyTo<uint16_t, float>(in, count, factor_, offset_, out);
    case Dtype::kInt16:
      return ApplyTo<int16_t, float>(in, count, factor_, offset_, out);
    case Dtype::kUint32:
      return ApplyTo<uint32_t, double>(in, count, factor_, offset_, out);
    case Dtype::kInt32:
      return ApplyTo<int32_t, double>(in, count, factor_, offset_, out);
    case Dtype::kUint64:
      return ApplyTo<uint64_t, double>(in, count, factor_, offset_, out);
    case Dtype::kInt64:
      return ApplyTo<int64_t, double>(in, count, factor_, offset_, out);
    case Dtype::kFloat64:
      return ApplyTo<double, double>(in, count, factor_, offset_, out);
    case Dtype::kFloat32:
      // Multiplying by 1 and adding 0 would turn -0 into 0.
      if (factor_ == 1 && offset_ == 0) {
        std::memcpy(out, in, count * sizeof(float));
        return;
      }
      return ApplyTo<float, float>(in, count, factor_, offset_, out);
  }
}

}  // namespace tfd::data
