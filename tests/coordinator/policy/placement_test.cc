#include "daemon/coordinator/policy/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tests/coordinator/testing/values.h"

namespace tfd::coordinator {
namespace {

using testing::Facts;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kGiB;
using ::testing::Not;

NodeOffer Offer(const std::string& name, int64_t millicpus,
                int64_t reserved = 0) {
  return {name, {millicpus, 64 * kGiB}, {reserved, 0}, ""};
}

std::map<std::string, int> TasksPerNode(const GangPlan& plan) {
  std::map<std::string, int> tasks;
  for (const Placement& placement : plan.placements) ++tasks[placement.node];
  return tasks;
}

TEST(Placement, PrefersOneNodeThatHoldsTheWholeGang) {
  const GangPlan plan = PlaceGang(
      Facts(1, 2, 1), {Offer("a", 3000), Offer("b", 4000), Offer("c", 3000)});
  EXPECT_EQ(TasksPerNode(plan), (std::map<std::string, int>{{"b", 4}}));
  EXPECT_THAT(plan.reason, HasSubstr("fits on b"));
}

TEST(Placement, AmongSeveralTakesTheOneWithTheMostFreeCpus) {
  const GangPlan plan =
      PlaceGang(Facts(1, 1, 0), {Offer("a", 8000, 5000), Offer("b", 4000)});
  EXPECT_EQ(TasksPerNode(plan), (std::map<std::string, int>{{"b", 2}}));
}

TEST(Placement, SpreadsWhatNoNodeHolds) {
  const GangPlan plan =
      PlaceGang(Facts(0, 4, 0), {Offer("a", 3000), Offer("b", 3000)});
  EXPECT_EQ(TasksPerNode(plan),
            (std::map<std::string, int>{{"a", 2}, {"b", 2}}));
}

TEST(Placement, PacksWhereSpreadingLeavesFragments) {
  JobFacts facts = Facts(0, 0, 0);
  facts.roles = {{Role::kPs, 2, {3000, kGiB}},
                 {Role::kWorker, 2, {2000, kGiB}}};
  // Spread puts the two large ones on different nodes, packing on a and b, too:
  // 3+2 and 3+2 in 6 and 5.
  const GangPlan plan = PlaceGang(facts, {Offer("a", 6000), Offer("b", 5000)});
  EXPECT_THAT(plan.placements, Not(IsEmpty()));
}

TEST(Placement, IsAllOrNothing) {
  const GangPlan plan =
      PlaceGang(Facts(0, 4, 0), {Offer("a", 2000, 500), Offer("b", 2000)});
  EXPECT_THAT(plan.placements, IsEmpty());
  EXPECT_FALSE(plan.never_fits);
  EXPECT_THAT(plan.reason, HasSubstr("needs 4 × worker (1 cpu, 1.0 GiB)"));
  EXPECT_THAT(plan.reason, HasSubstr("a has 1.5 cpus of 2 cpus"));
}

TEST(Placement, MemoryCounts) {
  NodeOffer small = Offer("a", 8000);
  small.offered.memory_bytes = kGiB;
  const GangPlan plan = PlaceGang(Facts(1, 1, 0), {small});
  EXPECT_THAT(plan.placements, IsEmpty());
  EXPECT_TRUE(plan.never_fits);
}

TEST(Placement, SaysThatItWillNeverFit) {
  const GangPlan plan = PlaceGang(Facts(0, 9, 0), {Offer("a", 8000)});
  EXPECT_TRUE(plan.never_fits);
  EXPECT_THAT(plan.reason, HasSubstr("too small even when nothing else runs"));
}

TEST(Placement, ASilentNodeIsNotUsedButMayComeBack) {
  NodeOffer silent = Offer("b", 8000);
  silent.unusable = "has been silent for 4 s";
  const GangPlan plan = PlaceGang(Facts(0, 6, 0), {Offer("a", 4000), silent});
  EXPECT_THAT(plan.placements, IsEmpty());
  EXPECT_FALSE(plan.never_fits);
  EXPECT_THAT(plan.reason, HasSubstr("b has been silent for 4 s"));
}

TEST(Placement, LocalStorageKeepsAJobOnOneNode) {
  JobFacts facts = Facts(0, 4, 0);
  facts.one_node = true;
  const GangPlan plan = PlaceGang(facts, {Offer("a", 3000), Offer("b", 3000)});
  EXPECT_THAT(plan.placements, IsEmpty());
  EXPECT_TRUE(plan.never_fits);
  EXPECT_THAT(plan.reason, HasSubstr("on one node, because storage"));
}

TEST(Placement, WithoutNodesSaysSo) {
  const GangPlan plan = PlaceGang(Facts(1, 1, 0), {});
  EXPECT_THAT(plan.reason, HasSubstr("start a tfd-agent"));
}

TEST(Placement, AFeedGoesToEachNodeWithWorkers) {
  JobFacts facts = Facts(1, 4, 0);
  facts.pushed = {{"train", 1}};
  const GangPlan plan = PlaceGang(facts, {Offer("a", 3000), Offer("b", 3000)});
  std::set<std::string> worker_nodes;
  std::set<std::string> feed_nodes;
  for (const Placement& placement : plan.placements) {
    if (placement.role == Role::kWorker) worker_nodes.insert(placement.node);
    if (placement.role != Role::kFeed) continue;
    EXPECT_TRUE(feed_nodes.insert(placement.node).second);
  }
  EXPECT_EQ(feed_nodes, worker_nodes);
}

TEST(Placement, AFullNodeNeverPromisesMoreThanItHas) {
  std::mt19937 random(20240611);
  for (int round = 0; round < 300; ++round) {
    std::vector<NodeOffer> offers;
    const int nodes = 1 + static_cast<int>(random() % 5);
    for (int i = 0; i < nodes; ++i) {
      const int64_t cpus = 500 * (1 + random() % 12);
      offers.push_back(Offer("n" + std::to_string(i), cpus, random() % cpus));
    }
    JobFacts facts = Facts(0, 0, 0);
    facts.roles = {{Role::kPs,
                    static_cast<int>(random() % 3),
                    {static_cast<int64_t>(250 * (1 + random() % 8)), kGiB}},
                   {Role::kWorker,
                    1 + static_cast<int>(random() % 6),
                    {static_cast<int64_t>(250 * (1 + random() % 8)), kGiB}}};
    const GangPlan plan = PlaceGang(facts, offers);
    std::map<std::string, int64_t> taken;
    for (const Placement& placement : plan.placements) {
      taken[placement.node] += placement.resources.millicpus;
    }
    for (const NodeOffer& offer : offers) {
      EXPECT_LE(taken[offer.name] + offer.reserved.millicpus,
                offer.offered.millicpus)
          << "round " << round;
    }
    EXPECT_FALSE(plan.reason.empty());
  }
}

}  // namespace
}  // namespace tfd::coordinator
