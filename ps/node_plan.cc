#include "ps/node_plan.h"

#include <map>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace tfd::ps {

absl::StatusOr<NodePlan> PlanNodes(const v1::Membership& membership,
                                   const std::string& task) {
  std::map<int, const v1::Member*> workers;
  std::string host;
  for (const v1::Member& member : membership.members()) {
    absl::string_view number_text = member.task();
    int number = 0;
    if (!absl::ConsumePrefix(&number_text, "worker/") ||
        !absl::SimpleAtoi(number_text, &number)) {
      continue;
    }
    if (member.endpoint().host_id().empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat(member.task(),
                       " has not said on which host it runs, which "
                       "exchange.aggregate: node needs; install the same "
                       "version of tfd everywhere"));
    }
    workers[number] = &member;
    if (member.task() == task) host = member.endpoint().host_id();
  }
  if (host.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(task, " is no worker of this membership"));
  }
  NodePlan plan;
  std::set<std::string> led;
  for (const auto& [number, member] : workers) {
    const std::string& its_host = member->endpoint().host_id();
    if (led.insert(its_host).second) plan.leaders.push_back(member->task());
    if (its_host != host) continue;
    if (plan.workers.empty()) plan.leader = *member;
    plan.workers.push_back(member->task());
  }
  return plan;
}

}  // namespace tfd::ps
