#include "daemon/coordinator/policy/placement.h"

#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/units.h"
#include "daemon/coordinator/core/describe.h"

namespace tfd::coordinator {
namespace {

constexpr size_t kMaxNodesInReason = 5;

// What is left of a node while a gang is tried on it.
struct Room {
  const NodeOffer* node;
  int64_t millicpus;
  uint64_t memory_bytes;

  bool Holds(const Resources& need) const {
    return millicpus >= need.millicpus && memory_bytes >= need.memory_bytes;
  }
  void Take(const Resources& need) {
    millicpus -= need.millicpus;
    memory_bytes -= need.memory_bytes;
  }
};

bool MoreRoom(const Room& a, const Room& b) {
  if (a.millicpus != b.millicpus) return a.millicpus > b.millicpus;
  return a.node->name < b.node->name;
}

std::vector<Room> FreeRooms(const std::vector<NodeOffer>& nodes) {
  std::vector<Room> rooms;
  for (const NodeOffer& node : nodes) {
    if (!node.unusable.empty()) continue;
    const Resources& offered = node.offered;
    const Resources& reserved = node.reserved;
    // A node may offer less than before, below what it has promised.
    rooms.push_back(
        {&node, std::max<int64_t>(0, offered.millicpus - reserved.millicpus),
         offered.memory_bytes > reserved.memory_bytes
             ? offered.memory_bytes - reserved.memory_bytes
             : 0});
  }
  std::sort(rooms.begin(), rooms.end(), MoreRoom);
  return rooms;
}

std::vector<Room> EmptyRooms(const std::vector<NodeOffer>& nodes) {
  std::vector<Room> rooms;
  rooms.reserve(nodes.size());
  for (const NodeOffer& node : nodes) {
    rooms.push_back({&node, node.offered.millicpus, node.offered.memory_bytes});
  }
  std::sort(rooms.begin(), rooms.end(), MoreRoom);
  return rooms;
}

std::vector<Placement> TasksOf(const JobFacts& need) {
  std::vector<Placement> tasks;
  for (const RoleNeed& role : need.roles) {
    for (int number = 0; number < role.count; ++number) {
      tasks.push_back({role.role, number, "", role.each});
    }
  }
  return tasks;
}

Resources TotalOf(const JobFacts& need) {
  Resources total;
  for (const RoleNeed& role : need.roles) {
    total.millicpus += role.count * role.each.millicpus;
    total.memory_bytes += role.count * role.each.memory_bytes;
  }
  return total;
}

// Largest first, so that small ones fill the gaps.
std::vector<size_t> ByDemand(const std::vector<Placement>& tasks) {
  std::vector<size_t> order(tasks.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&tasks](size_t a, size_t b) {
    return tasks[a].resources.millicpus > tasks[b].resources.millicpus;
  });
  return order;
}

bool PlaceOnOne(std::vector<Placement>& tasks, const std::vector<Room>& rooms,
                const Resources& total) {
  for (const Room& room : rooms) {
    if (!room.Holds(total)) continue;
    for (Placement& task : tasks) task.node = room.node->name;
    return true;
  }
  return false;
}

// Each task to the roomiest node that holds it, kept in a heap.
bool Spread(std::vector<Placement>& tasks, std::vector<Room> rooms) {
  const auto less = [](const Room& a, const Room& b) { return MoreRoom(b, a); };
  std::make_heap(rooms.begin(), rooms.end(), less);
  for (const size_t index : ByDemand(tasks)) {
    std::vector<Room> passed_over;
    bool placed = false;
    while (!rooms.empty() && !placed) {
      std::pop_heap(rooms.begin(), rooms.end(), less);
      Room room = rooms.back();
      rooms.pop_back();
      if (room.Holds(tasks[index].resources)) {
        room.Take(tasks[index].resources);
        tasks[index].node = room.node->name;
        placed = true;
      }
      passed_over.push_back(room);
    }
    for (const Room& room : passed_over) {
      rooms.push_back(room);
      std::push_heap(rooms.begin(), rooms.end(), less);
    }
    if (!placed) return false;
  }
  return true;
}

// Each task to the first node that holds it.
bool Pack(std::vector<Placement>& tasks, std::vector<Room> rooms) {
  for (const size_t index : ByDemand(tasks)) {
    const auto room = std::find_if(
        rooms.begin(), rooms.end(), [&tasks, index](const Room& candidate) {
          return candidate.Holds(tasks[index].resources);
        });
    if (room == rooms.end()) return false;
    room->Take(tasks[index].resources);
    tasks[index].node = room->node->name;
  }
  return true;
}

bool Place(const JobFacts& need, const std::vector<Room>& rooms,
           std::vector<Placement>& tasks) {
  if (PlaceOnOne(tasks, rooms, TotalOf(need))) return true;
  if (need.one_node) return false;
  return Spread(tasks, rooms) || Pack(tasks, rooms);
}

void AddFeeds(const std::vector<Placement>& former,
              std::vector<Placement>& placements) {
  std::set<std::string> nodes;
  for (const Placement& placement : placements) {
    if (placement.role == Role::kWorker) nodes.insert(placement.node);
  }
  int number = 0;
  for (const Placement& feed : former) {
    placements.push_back(feed);
    nodes.erase(feed.node);
    number = std::max(number, feed.number + 1);
  }
  for (const std::string& node : nodes) {
    placements.push_back({Role::kFeed, number++, node, Resources()});
  }
}

// Only `name` is left of them.
std::vector<NodeOffer> Only(const std::string& name,
                            const std::vector<NodeOffer>& nodes) {
  std::vector<NodeOffer> only;
  for (const NodeOffer& node : nodes) {
    if (node.name == name) only.push_back(node);
  }
  return only;
}

std::string DescribeNeed(const JobFacts& need) {
  std::vector<std::string> parts;
  for (const RoleNeed& role : need.roles) {
    parts.push_back(absl::StrCat(role.count, " × ", RoleName(role.role), " (",
                                 FormatCpus(role.each.millicpus), ", ",
                                 FormatBytes(role.each.memory_bytes), ")"));
  }
  const Resources total = TotalOf(need);
  std::string text = absl::StrCat("needs ", absl::StrJoin(parts, ", "),
                                  "; together ", FormatCpus(total.millicpus),
                                  " and ", FormatBytes(total.memory_bytes));
  if (need.one_node) {
    absl::StrAppend(&text, " on one node, because storage ", need.storage,
                    " is not marked `shared: true`");
  }
  return text;
}

std::string DescribeNodes(const std::vector<NodeOffer>& nodes) {
  if (nodes.empty()) return "no node is there yet: start a tfd-agent";
  std::vector<std::string> parts;
  for (const NodeOffer& node : nodes) {
    if (parts.size() == kMaxNodesInReason) {
      parts.push_back(absl::StrCat(nodes.size() - parts.size(), " more"));
      break;
    }
    if (!node.unusable.empty()) {
      parts.push_back(absl::StrCat(node.name, " ", node.unusable));
      continue;
    }
    const std::vector<Room> room = FreeRooms({node});
    parts.push_back(
        absl::StrCat(node.name, " has ", FormatCpus(room.front().millicpus),
                     " of ", FormatCpus(node.offered.millicpus), " and ",
                     FormatBytes(room.front().memory_bytes), " of ",
                     FormatBytes(node.offered.memory_bytes), " free"));
  }
  return absl::StrJoin(parts, "; ");
}

std::string DescribePlan(const std::vector<Placement>& placements) {
  std::set<std::string> nodes;
  for (const Placement& placement : placements) nodes.insert(placement.node);
  if (nodes.size() == 1) {
    return absl::StrCat("the whole gang fits on ", *nodes.begin());
  }
  return absl::StrCat("no node holds the whole gang; spread over ",
                      nodes.size(), " nodes");
}

}  // namespace

GangPlan PlaceGang(const JobFacts& need, const std::vector<NodeOffer>& nodes,
                   const FormerGang& former) {
  if (!former.node.empty()) {
    FormerGang rest = former;
    rest.node.clear();
    GangPlan plan = PlaceGang(need, Only(former.node, nodes), rest);
    if (plan.placements.empty()) {
      absl::StrAppend(&plan.reason, "; storage ", need.storage, " is on ",
                      former.node, " alone");
    }
    return plan;
  }
  GangPlan plan;
  std::vector<Placement> tasks = TasksOf(need);
  if (Place(need, FreeRooms(nodes), tasks)) {
    plan.reason = DescribePlan(tasks);
    if (!need.pushed.empty()) AddFeeds(former.feeds, tasks);
    plan.placements = std::move(tasks);
    return plan;
  }
  plan.never_fits = !Place(need, EmptyRooms(nodes), tasks);
  plan.reason = absl::StrCat(DescribeNeed(need), "; ", DescribeNodes(nodes));
  if (plan.never_fits && !nodes.empty()) {
    absl::StrAppend(&plan.reason,
                    "; these nodes are too small even when nothing else runs");
  }
  return plan;
}

GangPlan PlaceOne(const JobFacts& need, const Placement& former,
                  const std::vector<NodeOffer>& nodes) {
  const bool stays = former.role == Role::kFeed || need.one_node;
  // Rooms point to them.
  const std::vector<NodeOffer> candidates =
      stays ? Only(former.node, nodes) : nodes;
  std::vector<Room> rooms = FreeRooms(candidates);
  std::stable_partition(rooms.begin(), rooms.end(), [&](const Room& room) {
    return room.node->name == former.node;
  });
  GangPlan plan;
  for (const Room& room : rooms) {
    if (!room.Holds(former.resources)) continue;
    Placement placement = former;
    placement.node = room.node->name;
    plan.placements.push_back(placement);
    return plan;
  }
  plan.reason =
      absl::StrCat(TaskName(former.role, former.number), " needs ",
                   FormatCpus(former.resources.millicpus), " and ",
                   FormatBytes(former.resources.memory_bytes),
                   stays ? absl::StrCat(" on ", former.node) : std::string(),
                   "; ", DescribeNodes(nodes));
  return plan;
}

}  // namespace tfd::coordinator
