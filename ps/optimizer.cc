#include "ps/optimizer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "tensor/simd.h"

namespace tfd::ps {
namespace {

// The loops read and write each array once.

TFD_SIMD_INLINE void SgdBody(float lr, float scale, size_t n,
                             const float* __restrict in,
                             const float* __restrict sum,
                             float* __restrict out) {
  for (size_t i = 0; i < n; ++i) out[i] = in[i] - lr * (scale * sum[i]);
}
TFD_SIMD_FUNCTION(Sgd,
                  (float lr, float scale, size_t n, const float* in,
                   const float* sum, float* out),
                  (lr, scale, n, in, sum, out))

TFD_SIMD_INLINE void MomentumBody(float lr, float scale, float momentum,
                                  size_t n, const float* __restrict in,
                                  const float* __restrict sum,
                                  float* __restrict velocity,
                                  float* __restrict out) {
  for (size_t i = 0; i < n; ++i) {
    velocity[i] = momentum * velocity[i] + scale * sum[i];
    out[i] = in[i] - lr * velocity[i];
  }
}
TFD_SIMD_FUNCTION(Momentum,
                  (float lr, float scale, float momentum, size_t n,
                   const float* in, const float* sum, float* velocity,
                   float* out),
                  (lr, scale, momentum, n, in, sum, velocity, out))

// The constants of one update of adam, rounded once, as torch does.
struct AdamConstants {
  float scale;
  float beta1;
  float beta2;
  float one_minus_beta1;
  float one_minus_beta2;
  float step_size;         // lr / (1 - beta1^t)
  float correction2_sqrt;  // sqrt(1 - beta2^t)
  float epsilon;
};

TFD_SIMD_INLINE void AdamBody(const AdamConstants& c, size_t n,
                              const float* __restrict in,
                              const float* __restrict sum, float* __restrict m,
                              float* __restrict v, float* __restrict out) {
  const AdamConstants k = c;
  for (size_t i = 0; i < n; ++i) {
    const float g = k.scale * sum[i];
    const float new_m = k.beta1 * m[i] + k.one_minus_beta1 * g;
    const float new_v = k.beta2 * v[i] + k.one_minus_beta2 * (g * g);
    m[i] = new_m;
    v[i] = new_v;
    const float denominator =
        __builtin_sqrtf(new_v) / k.correction2_sqrt + k.epsilon;
    out[i] = in[i] - k.step_size * (new_m / denominator);
  }
}
TFD_SIMD_FUNCTION(Adam,
                  (const AdamConstants& c, size_t n, const float* in,
                   const float* sum, float* m, float* v, float* out),
                  (c, n, in, sum, m, v, out))

class SgdOptimizer : public Optimizer {
 public:
  explicit SgdOptimizer(const v1::OptimizerSpec& spec)
      : momentum_(spec.momentum()) {
    if (momentum_ != 0) state_names_ = {"sgd.momentum"};
  }

  const std::string& name() const override { return name_; }
  const std::vector<std::string>& state_names() const override {
    return state_names_;
  }

  void Apply(const UpdateInfo& info, const UpdateArrays& a) const override {
    const auto lr = static_cast<float>(info.learning_rate);
    const size_t n = a.parameters.size();
    if (momentum_ == 0) {
      Sgd(lr, info.gradient_scale, n, a.parameters.data(), a.sum.data(),
          a.new_parameters.data());
    } else {
      Momentum(lr, info.gradient_scale, static_cast<float>(momentum_), n,
               a.parameters.data(), a.sum.data(), a.state[0],
               a.new_parameters.data());
    }
  }

 private:
  const std::string name_ = "sgd";
  const double momentum_;
  std::vector<std::string> state_names_;
};

class AdamOptimizer : public Optimizer {
 public:
  explicit AdamOptimizer(const v1::OptimizerSpec& spec)
      : beta1_(spec.beta1()), beta2_(spec.beta2()), epsilon_(spec.epsilon()) {}

  const std::string& name() const override { return name_; }
  const std::vector<std::string>& state_names() const override {
    return state_names_;
  }

  void Apply(const UpdateInfo& info, const UpdateArrays& a) const override {
    const auto t = static_cast<double>(info.update);
    AdamConstants c;
    c.scale = info.gradient_scale;
    c.beta1 = static_cast<float>(beta1_);
    c.beta2 = static_cast<float>(beta2_);
    c.one_minus_beta1 = static_cast<float>(1 - beta1_);
    c.one_minus_beta2 = static_cast<float>(1 - beta2_);
    // A beta of 1 never moves; without the floor it would divide by zero.
    c.step_size = static_cast<float>(info.learning_rate /
                                     std::max(1 - std::pow(beta1_, t), kTiny));
    c.correction2_sqrt =
        static_cast<float>(std::sqrt(std::max(1 - std::pow(beta2_, t), kTiny)));
    c.epsilon = static_cast<float>(epsilon_);
    Adam(c, a.parameters.size(), a.parameters.data(), a.sum.data(), a.state[0],
         a.state[1], a.new_parameters.data());
  }

 private:
  static constexpr double kTiny = 1e-30;

  const std::string name_ = "adam";
  const std::vector<std::string> state_names_ = {"adam.m", "adam.v"};
  const double beta1_;
  const double beta2_;
  const double epsilon_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Optimizer>> MakeOptimizer(
    const v1::OptimizerSpec& spec) {
  switch (spec.name()) {
    case v1::OptimizerSpec::SGD:
      return std::make_unique<SgdOptimizer>(spec);
    case v1::OptimizerSpec::ADAM:
      return std::make_unique<AdamOptimizer>(spec);
    default:
      return absl::UnimplementedError(absl::StrCat(
          "optimizer.name: ", v1::OptimizerSpec::Name_Name(spec.name()),
          " is not there; there are sgd and adam"));
  }
}

}  // namespace tfd::ps
