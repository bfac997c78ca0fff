// Random events and random commands: whatever comes, the invariants hold.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/coordinator/core/apply.h"
#include "daemon/coordinator/core/describe.h"
#include "daemon/coordinator/core/invariants.h"
#include "tests/coordinator/testing/scenario.h"
#include "tests/coordinator/testing/values.h"

namespace tfd::coordinator {
namespace {

constexpr uint32_t kSeed = 20240607;

class Dice {
 public:
  explicit Dice(uint32_t seed) : random_(seed) {}
  int Roll(int sides) { return static_cast<int>(random_() % sides); }
  std::string Job() { return absl::StrCat("j", Roll(3)); }
  std::string Node() { return absl::StrCat("node-", Roll(2)); }
  std::string Task() {
    static const char* const kTasks[] = {"ps/0", "worker/0", "worker/1",
                                         "evaluator/0", "feed/0"};
    return kTasks[Roll(5)];
  }
  int64_t Step() { return 100 * (1 + Roll(10)); }

 private:
  std::mt19937 random_;
};

JobFacts RandomFacts(Dice& dice) {
  JobFacts facts = testing::Facts(1, 2, dice.Roll(2));
  facts.max_failures = 3;
  facts.replaceable_workers = true;
  if (dice.Roll(3) == 0) {
    facts.pushed = {
        {"train", 1, static_cast<Growth>(dice.Roll(3)), 1, dice.Roll(2) == 0}};
  }
  return facts;
}

EventBody RandomEvent(Dice& dice, const State& state) {
  const std::string job = dice.Job();
  const Job* known = FindJob(state, job);
  switch (dice.Roll(24)) {
    case 0:
      return testing::Registered(dice.Node(), 6);
    case 1:
      return NodeLost{dice.Node(), "silent"};
    case 2:
      return testing::Submitted(job, RandomFacts(dice));
    case 3:
      return JobQueued{job};
    case 4:
    case 5:
      return testing::PlacedOn(
          job, known == nullptr ? RandomFacts(dice) : known->facts, dice.Node(),
          1 + dice.Roll(6));
    case 6:
      return TaskStarted{job, dice.Task(), 1};
    case 7:
    case 8:
    case 9:
      return TaskAttached{job, dice.Task(), static_cast<uint64_t>(dice.Roll(9)),
                          1,   {},          {}};
    case 10:
    case 11:
      return GangStarted{job, {}};
    case 12:
      return TaskExited{job, dice.Task(), {}, dice.Roll(2) == 0, "ended"};
    case 13:
      return TaskGivenUp{job, dice.Task(), dice.Roll(2) == 0, "given up"};
    case 14:
      return TaskReleased{job, dice.Task(), "released"};
    case 15:
      return CheckpointCommitted{job, {dice.Step(), "/c", 1}};
    case 16:
      return CheckpointsRetired{job, {dice.Step(), dice.Step()}};
    case 17:
      return EvaluationStarted{job, dice.Step()};
    case 18:
      return CheckpointEvaluated{job, dice.Step(), {{"accuracy", 0.5}}};
    case 19:
      return ExportStarted{job, dice.Step(), "last"};
    case 20:
      return ExportWritten{job, dice.Step(), "/export"};
    case 21:
      return JobSucceeded{job, "done", {}};
    case 22:
      if (dice.Roll(8) != 0) return PlanAnnounced{job, {1000, 1, 1, 1}};
      return JobFailed{job, {"ps/0", "x", {}}, "failed", {}};
    default:
      switch (dice.Roll(13)) {
        case 9:
          return JobRestarted{job, dice.Task(), dice.Roll(2) == 0,
                              testing::At(0), "again"};
        case 10:
        case 11:
          return TaskToBeReplaced{job, dice.Task(), dice.Roll(2) == 0,
                                  testing::At(0), "again"};
        case 12:
          return TaskReplaced{job,
                              static_cast<uint64_t>(dice.Roll(8)),
                              {Role::kWorker,
                               dice.Roll(2),
                               dice.Node(),
                               {1000, testing::kGiB}}};
        case 6:
          return BatchCommitted{job, "train", "p", dice.Roll(4)};
        case 7:
          return SegmentPublished{job, "train", {{"p", "0"}}};
        case 8:
          return SegmentsRetired{job, "train", dice.Roll(3)};
        case 5:
          return SpoolNoticed{job, "feed/0", "SpoolDiskFull", "full"};
        case 0:
          return ProducerBegun{job, "train", "p"};
        case 1:
          return PartitionSealed{job, "train", "p", "0", {"a", 1, 1, "", ""}};
        case 2:
          return ProducerCommitted{job, "train", "p"};
        case 3:
          return ProducerAborted{job, "train", "p"};
        default:
          return DatasetCompleted{job, "train"};
      }
  }
}

TEST(Property, RandomEventsNeverBreakAnInvariant) {
  for (uint32_t round = 0; round < 60; ++round) {
    const uint32_t seed = kSeed + round;
    Dice dice(seed);
    State state;
    int applied = 0;
    for (int i = 0; i < 600; ++i) {
      const EventBody body = RandomEvent(dice, state);
      Apply(state, Event{testing::At(i), body});
      // That it did not fit is fine here; that it changed something is not.
      applied += state.violation.empty() ? 1 : 0;
      state.violation.clear();
      const absl::Status status = CheckInvariants(state);
      ASSERT_TRUE(status.ok()) << "seed " << seed << ", event " << i << ", "
                               << Describe(state, body).kind << ": " << status;
    }
    // The dice do get somewhere.
    EXPECT_GT(applied, 50) << "seed " << seed;
  }
}

std::string RandomCommand(Dice& dice) {
  const std::string job = dice.Job();
  const std::string who = absl::StrCat(job, " ", dice.Task());
  switch (dice.Roll(16)) {
    case 0:
      return absl::StrCat("node ", dice.Node(), " cpus=6");
    case 1:
      return absl::StrCat("node ", dice.Node(), " cpus=6 tasks=", job, ":ps/0,",
                          job, ":worker/0,", job, ":worker/1");
    case 2:
    case 3:
      return absl::StrCat(
          "submit ", job, " worker=2 evaluator=", dice.Roll(2),
          dice.Roll(2) ? " pushed=1" : "",
          dice.Roll(2) ? " growth=stream once=yes" : "",
          dice.Roll(2) ? " growth=seal" : "",
          dice.Roll(3) ? absl::StrCat(" failures=", dice.Roll(5)) : "",
          dice.Roll(2) ? " accuracy=0.9" : "");
    case 4:
    case 5:
    case 6:
      return absl::StrCat("hello ", job, " ps/0 worker/0 worker/1 ",
                          dice.Task());
    case 7:
      return absl::StrCat("exited ", dice.Node(), " ", who,
                          dice.Roll(2) ? " code=" : " signal=", dice.Roll(2));
    case 8:
      return dice.Roll(2) == 0 ? absl::StrCat("plan ", who, " 1000")
                               : absl::StrCat("grown ", job, " worker/0 ",
                                              dice.Step(), " ", dice.Roll(3));
    case 9:
      return absl::StrCat("saved ", job, " ", dice.Step(), " 0");
    case 10:
      return absl::StrCat("manifest ", job, " ", dice.Step());
    case 11:
      return absl::StrCat("evaluated ", who, " ", dice.Step(), " 0.",
                          80 + dice.Roll(20));
    case 12:
      return absl::StrCat("exported ", who, " ", dice.Step());
    case 13:
      return absl::StrCat(dice.Roll(2) ? "mute " : "unmute ", dice.Node());
    case 14:
      return dice.Roll(3) == 0 ? "restart"
                               : absl::StrCat("wait ", 1 + dice.Roll(12));
    default:
      switch (dice.Roll(8)) {
        case 6:
          return absl::StrCat("commit ", job, " p ", dice.Roll(3),
                              "-0:a:5 batch=", dice.Roll(3));
        case 7:
          return absl::StrCat("seal ", job, " p ", dice.Roll(3), "-0 a 5");
        case 0:
          return absl::StrCat("cancel ", job);
        case 1:
        case 2:
          return absl::StrCat("begin ", job, " p");
        case 3:
          return absl::StrCat("abort ", job, " p");
        default:
          return absl::StrCat("seal ", job, " p 0 a 5");
      }
  }
}

TEST(Property, RandomCommandsNeverMakeADecisionThatDoesNotFit) {
  for (uint32_t round = 0; round < 30; ++round) {
    const uint32_t seed = kSeed + round;
    Dice dice(seed);
    std::string commands;
    for (int i = 0; i < 120; ++i) commands += RandomCommand(dice) + "\n";
    testing::Scenario scenario;
    const std::string played = scenario.Play(commands);
    for (const std::string& problem : scenario.problems()) {
      FAIL() << "seed " << seed << ": " << problem << "\n" << played;
    }
  }
}

}  // namespace
}  // namespace tfd::coordinator
