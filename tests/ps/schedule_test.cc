#include "ps/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/ps/golden.h"

namespace tfd::ps {
namespace {

v1::OptimizerSpec Spec(double lr, v1::ScheduleSpec::Name name,
                       int64_t warmup = 0, double peak_at = 0.3) {
  v1::OptimizerSpec spec;
  spec.set_lr(lr);
  spec.mutable_schedule()->set_name(name);
  spec.mutable_schedule()->set_warmup_steps(warmup);
  spec.mutable_schedule()->set_peak_at(peak_at);
  return spec;
}

void ExpectRates(const v1::OptimizerSpec& spec,
                 const std::vector<double>& golden) {
  for (size_t t = 0; t < golden.size(); ++t) {
    EXPECT_NEAR(LearningRate(spec, static_cast<int64_t>(t),
                             static_cast<int64_t>(golden.size())),
                golden[t], 1e-12 + 1e-9 * golden[t])
        << "step " << t;
  }
}

TEST(ScheduleTest, ConstantIsConstant) {
  const auto spec = Spec(0.25, v1::ScheduleSpec::CONSTANT);
  EXPECT_EQ(LearningRate(spec, 0, 10), 0.25);
  EXPECT_EQ(LearningRate(spec, 9, 10), 0.25);
}

TEST(ScheduleTest, OneCycleEqualsTorch) {
  ExpectRates(Spec(0.003, v1::ScheduleSpec::ONE_CYCLE, 0, 0.3),
              golden::kOneCycle100);
  ExpectRates(Spec(0.003, v1::ScheduleSpec::ONE_CYCLE, 0, 0.25),
              golden::kOneCycle37);
  ExpectRates(Spec(0.003, v1::ScheduleSpec::ONE_CYCLE, 0, 0.9),
              golden::kOneCycle7);
}

TEST(ScheduleTest, CosineEqualsTorch) {
  ExpectRates(Spec(0.1, v1::ScheduleSpec::COSINE), golden::kCosine50);
}

TEST(ScheduleTest, WarmUpRisesLinearlyAndComesBeforeTheSchedule) {
  const auto spec = Spec(0.8, v1::ScheduleSpec::COSINE, 4);
  EXPECT_DOUBLE_EQ(LearningRate(spec, 0, 54), 0.2);
  EXPECT_DOUBLE_EQ(LearningRate(spec, 3, 54), 0.8);
  EXPECT_DOUBLE_EQ(LearningRate(spec, 4, 54), 0.8);
  // The cosine covers the 50 steps after the warm-up.
  EXPECT_NEAR(LearningRate(spec, 4 + 20, 54), 8 * golden::kCosine50[20], 1e-9);
}

TEST(ScheduleTest, ShortTrainingsAndWideValuesGiveAFiniteRate) {
  for (const auto name : {v1::ScheduleSpec::CONSTANT, v1::ScheduleSpec::COSINE,
                          v1::ScheduleSpec::ONE_CYCLE}) {
    for (const double peak_at : {1e-9, 0.3, 1.0}) {
      for (int64_t total = 1; total < 5; ++total) {
        for (int64_t step = 0; step < total + 2; ++step) {
          const double rate = LearningRate(
              Spec(1, name, name == v1::ScheduleSpec::COSINE ? total : 0,
                   peak_at),
              step, total);
          EXPECT_GE(rate, 0) << total << " " << step;
          EXPECT_LE(rate, 1) << total << " " << step;
        }
      }
    }
  }
}

}  // namespace
}  // namespace tfd::ps
