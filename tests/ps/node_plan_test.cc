#include "ps/node_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tfd::ps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

void AddMember(const std::string& task, const std::string& host,
               v1::Membership* membership) {
  v1::Member& member = *membership->add_members();
  member.set_task(task);
  member.mutable_endpoint()->set_host_id(host);
}

TEST(NodePlanTest, TheFirstWorkerOfEachHostLeads) {
  v1::Membership membership;
  // As text, worker/10 comes before worker/2.
  AddMember("worker/10", "b", &membership);
  AddMember("ps/0", "b", &membership);
  AddMember("worker/2", "b", &membership);
  AddMember("worker/0", "a", &membership);
  AddMember("worker/1", "c", &membership);
  const auto plan = PlanNodes(membership, "worker/10");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->leaders, ElementsAre("worker/0", "worker/1", "worker/2"));
  EXPECT_THAT(plan->workers, ElementsAre("worker/2", "worker/10"));
  EXPECT_EQ(plan->leader.task(), "worker/2");
  EXPECT_THAT(PlanNodes(membership, "worker/1")->workers,
              ElementsAre("worker/1"));
}

TEST(NodePlanTest, AWorkerOfAnUnknownHostIsNamed) {
  v1::Membership membership;
  AddMember("worker/0", "a", &membership);
  AddMember("worker/1", "", &membership);
  const auto plan = PlanNodes(membership, "worker/0");
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(plan.status().message()),
              HasSubstr("worker/1 has not said on which host it runs"));
  EXPECT_EQ(PlanNodes({}, "worker/0").status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tfd::ps
