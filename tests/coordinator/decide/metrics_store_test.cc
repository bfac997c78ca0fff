#include "daemon/coordinator/decide/metrics_store.h"

#include <gtest/gtest.h>

namespace tfd::coordinator {
namespace {

TEST(MetricsStore, TheNewestValueCounts) {
  MetricsStore store;
  store.Add("j", 10, 0.1, {{"loss", 2}});
  store.Add("j", 20, 0.2, {{"loss", 1}, {"accuracy", 0.5}});
  const Progress newest = store.Newest("j");
  EXPECT_EQ(newest.step, 20);
  EXPECT_EQ(newest.epoch, 0.2);
  EXPECT_EQ(newest.metrics.at("loss"), 1);
  EXPECT_EQ(newest.metrics.at("accuracy"), 0.5);
  EXPECT_EQ(store.Newest("other").step, 0);
}

TEST(MetricsStore, ASeriesSpansTheWholeJobAndIsBounded) {
  MetricsStore store;
  constexpr int kSteps = 50000;
  for (int step = 1; step <= kSteps; ++step) {
    store.Add("j", step, 0, {{"loss", step}});
  }
  const auto& points = store.Series("j", "loss")->points();
  EXPECT_LT(points.size(), MetricsStore::kMaxPoints);
  EXPECT_GT(points.size(), MetricsStore::kMaxPoints / 4);
  EXPECT_EQ(points.front().step, 1);
  EXPECT_GT(points.back().step, kSteps - 200);
  for (size_t i = 1; i < points.size(); ++i) {
    EXPECT_GT(points[i].step, points[i - 1].step);
  }
}

TEST(MetricsStore, WhatIsSaidAgainIsKeptOnce) {
  MetricsStore store;
  store.Add("j", 10, 0, {{"loss", 2}});
  store.Add("j", 10, 0, {{"loss", 2}});
  store.Add("j", 5, 0, {{"loss", 3}});
  EXPECT_EQ(store.Series("j", "loss")->points().size(), 1u);
  EXPECT_EQ(store.Newest("j").step, 10);
}

TEST(MetricsStore, NamesAreBounded) {
  MetricsStore store;
  for (int i = 0; i < 1000; ++i) {
    store.Add("j", 1, 0, {{"m" + std::to_string(i), 1}});
  }
  EXPECT_EQ(store.Newest("j").metrics.size(), MetricsStore::kMaxNames);
}

TEST(MetricsStore, AForgottenJobLeavesNothing) {
  MetricsStore store;
  store.Add("j", 10, 0, {{"loss", 2}});
  store.Forget("j");
  EXPECT_EQ(store.Series("j", "loss"), nullptr);
}

}  // namespace
}  // namespace tfd::coordinator
