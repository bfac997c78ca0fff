#include "ps/optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/ps/golden.h"

namespace tfd::ps {
namespace {

float Start(int i) { return static_cast<float>((i * 53) % 97 - 48) / 32; }
// As in make_golden.py.
float Gradient(int t, int i) {
  return static_cast<float>((t * 37 + i * 101 + t * i) % 199 - 99) / 64;
}

v1::OptimizerSpec Sgd(double lr, double momentum) {
  v1::OptimizerSpec spec;
  spec.set_name(v1::OptimizerSpec::SGD);
  spec.set_lr(lr);
  spec.set_momentum(momentum);
  return spec;
}

v1::OptimizerSpec Adam(double lr, double beta1, double beta2, double epsilon) {
  v1::OptimizerSpec spec;
  spec.set_name(v1::OptimizerSpec::ADAM);
  spec.set_lr(lr);
  spec.set_beta1(beta1);
  spec.set_beta2(beta2);
  spec.set_epsilon(epsilon);
  return spec;
}

// Runs to the last of golden::kSteps and compares on the way. The gradient
// arrives as weight · gradient and a scale of 1 / weight, as in a shard.
void ExpectGolden(const v1::OptimizerSpec& spec,
                  const std::vector<std::vector<double>>& golden) {
  constexpr float kWeight = 8;
  constexpr double kRelativeError = 1e-6;
  const auto optimizer = MakeOptimizer(spec);
  ASSERT_TRUE(optimizer.ok()) << optimizer.status();
  const int n = golden::kCount;
  std::vector<float> parameters(n), next(n), sum(n);
  for (int i = 0; i < n; ++i) parameters[i] = Start(i);
  std::vector<std::vector<float>> state((*optimizer)->state_names().size(),
                                        std::vector<float>(n, 0));
  std::vector<float*> arrays;
  for (auto& s : state) arrays.push_back(s.data());
  size_t row = 0;
  for (int t = 0; t < golden::kSteps.back(); ++t) {
    for (int i = 0; i < n; ++i) sum[i] = kWeight * Gradient(t, i);
    (*optimizer)
        ->Apply({spec.lr(), 1 / kWeight, static_cast<uint64_t>(t + 1)},
                {parameters, sum, arrays, absl::MakeSpan(next)});
    parameters.swap(next);
    if (t + 1 != golden::kSteps[row]) continue;
    for (int i = 0; i < n; ++i) {
      const double expected = golden[row][i];
      EXPECT_NEAR(parameters[i], expected,
                  kRelativeError * std::max(std::abs(expected), 0.1))
          << "element " << i << " after step " << t + 1;
    }
    ++row;
  }
  EXPECT_EQ(row, golden.size());
}

TEST(OptimizerTest, SgdEqualsTorch) {
  ExpectGolden(Sgd(0.05, 0), golden::kSgd);
}

TEST(OptimizerTest, SgdWithMomentumEqualsTorch) {
  ExpectGolden(Sgd(0.01, 0.9), golden::kMomentum);
}

TEST(OptimizerTest, AdamEqualsTorch) {
  ExpectGolden(Adam(0.003, 0.9, 0.999, 1e-8), golden::kAdam);
}

TEST(OptimizerTest, AdamWithOtherConstantsEqualsTorch) {
  ExpectGolden(Adam(0.02, 0.8, 0.95, 1e-4), golden::kAdamOther);
}

TEST(OptimizerTest, StateIsNamedForCheckpoints) {
  EXPECT_TRUE((*MakeOptimizer(Sgd(0.1, 0)))->state_names().empty());
  EXPECT_EQ((*MakeOptimizer(Sgd(0.1, 0.5)))->state_names(),
            std::vector<std::string>{"sgd.momentum"});
  EXPECT_EQ((*MakeOptimizer(Adam(0.1, 0.9, 0.99, 1e-8)))->state_names(),
            (std::vector<std::string>{"adam.m", "adam.v"}));
}

TEST(OptimizerTest, AnUnknownOptimizerIsRefusedByName) {
  v1::OptimizerSpec spec;
  const absl::Status status = MakeOptimizer(spec).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(status.message().find("NAME_UNSPECIFIED"), absl::string_view::npos);
}

}  // namespace
}  // namespace tfd::ps
