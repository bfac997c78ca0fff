#include "daemon/agent/converge.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tests/agent/agent_testing.h"

namespace tfd::agent {
namespace {

struct Case {
  std::string name;
  // The coordinator's cluster; empty: none yet.
  std::string cluster;
  // "JOB TASK GENERATION" each; "?": nothing has been said yet.
  std::vector<std::string> desired;
  // The same with PHASE and, if it is not c1, CLUSTER.
  std::vector<std::string> actual;
  // Jobs with folders, besides those of actual tasks.
  std::vector<std::string> jobs;
  // In words, as logged.
  std::vector<std::string> actions;
};

TaskKey KeyOf(const std::vector<std::string>& words) {
  return Key(words[0], words[1], std::stoull(words[2]));
}

TaskPhase PhaseOf(const std::string& name) {
  return name == "running"    ? TaskPhase::kRunning
         : name == "stopping" ? TaskPhase::kStopping
                              : TaskPhase::kEnded;
}

const std::vector<Case>& Cases() {
  static const auto* const cases = new std::vector<Case>{
      {"NothingToDo", "c1", {}, {}, {}, {}},
      {"StartsWhatIsMissing",
       "c1",
       {"a ps/0 1", "a worker/0 1"},
       {"a ps/0 1 running"},
       {},
       {"start a worker/0 (generation 1): listed and not on this node"}},
      {"LeavesWhatRunsAlone", "c1", {"a ps/0 1"}, {"a ps/0 1 running"}, {}, {}},
      {"StopsWhatIsNotListed",
       "c1",
       {},
       {"a ps/0 1 running"},
       {},
       {"stop a ps/0 (generation 1): no longer listed"}},
      {"StopsOnce", "c1", {}, {"a ps/0 1 stopping"}, {}, {}},
      {"DropsWhatEndedAndIsNotListedAndThenItsJob",
       "c1",
       {},
       {"a ps/0 1 ended"},
       {},
       {"drop a ps/0 (generation 1): ended, and no longer listed",
        "forget a: no task of it is listed or here"}},
      {"NeverRestartsWhatEnded",
       "c1",
       {"a ps/0 1"},
       {"a ps/0 1 ended"},
       {},
       {}},
      {"DoesNotStopWhatEndsListed",
       "c1",
       {"a ps/0 1"},
       {"a ps/0 1 stopping"},
       {},
       {}},
      {"KeepsAJobWithATaskThatStillStops",
       "c1",
       {},
       {"a ps/0 1 ended", "a worker/0 1 stopping"},
       {},
       {"drop a ps/0 (generation 1): ended, and no longer listed"}},
      {"ForgetsAJobWithNothingButFolders",
       "c1",
       {"b ps/0 1"},
       {"b ps/0 1 running"},
       {"a"},
       {"forget a: no task of it is listed or here"}},
      {"KeepsTheFoldersOfAJobThatIsListed",
       "c1",
       {"a ps/0 1"},
       {},
       {"a"},
       {"start a ps/0 (generation 1): listed and not on this node"}},
      {"StopsTheOldGenerationBeforeItStartsTheNext",
       "c1",
       {"a ps/0 2"},
       {"a ps/0 1 running"},
       {},
       {"stop a ps/0 (generation 1): no longer listed"}},
      {"WaitsForTheOldGenerationToEnd",
       "c1",
       {"a ps/0 2"},
       {"a ps/0 1 stopping"},
       {},
       {}},
      {"StartsTheNextGenerationOnceTheOldOneHasEnded",
       "c1",
       {"a ps/0 2"},
       {"a ps/0 1 ended"},
       {},
       {"drop a ps/0 (generation 1): ended, and no longer listed",
        "start a ps/0 (generation 2): listed and not on this node"}},
      {"DoesNothingBeforeACoordinatorWasThere",
       "",
       {"?"},
       {"a ps/0 1 running", "b ps/0 1 ended"},
       {"d"},
       {}},
      {"DoesNothingBeforeTheCoordinatorHasSaidWhatItWants",
       "c1",
       {"?"},
       {"a ps/0 1 running", "b ps/0 1 ended"},
       {"d"},
       {}},
      {"StopsTasksOfAnotherClusterAtOnce",
       "c2",
       {"?"},
       {"a ps/0 1 running", "b ps/0 1 ended", "d ps/0 1 running c2"},
       {},
       {"stop a ps/0 (generation 1): it belongs to cluster c1 and the "
        "coordinator is of cluster c2",
        "drop b ps/0 (generation 1): ended, and it belongs to cluster c1 and "
        "the coordinator is of cluster c2"}},
      {"DoesNotMistakeAnotherClustersTaskForItsOwn",
       "c2",
       {"a ps/0 1"},
       {"a ps/0 1 ended c1"},
       {},
       {"drop a ps/0 (generation 1): ended, and it belongs to cluster c1 and "
        "the coordinator is of cluster c2"}},
  };
  return *cases;
}

class ConvergeTest : public ::testing::TestWithParam<Case> {};

TEST_P(ConvergeTest, Golden) {
  const Case& one = GetParam();
  Desired desired;
  desired.cluster = one.cluster;
  desired.known = one.desired != std::vector<std::string>{"?"};
  for (const std::string& task : one.desired) {
    if (desired.known) desired.tasks.insert(KeyOf(absl::StrSplit(task, ' ')));
  }
  Actual actual;
  actual.jobs.insert(one.jobs.begin(), one.jobs.end());
  for (const std::string& task : one.actual) {
    const std::vector<std::string> words = absl::StrSplit(task, ' ');
    actual.jobs.insert(words[0]);
    actual.tasks.push_back(
        {KeyOf(words), words.size() > 4 ? words[4] : "c1", PhaseOf(words[3])});
  }
  std::vector<std::string> actions;
  for (const Action& action : Converge(desired, actual)) {
    actions.push_back(ToString(action));
  }
  EXPECT_EQ(absl::StrJoin(actions, "\n"), absl::StrJoin(one.actions, "\n"));
}

INSTANTIATE_TEST_SUITE_P(Table, ConvergeTest, ::testing::ValuesIn(Cases()),
                         [](const ::testing::TestParamInfo<Case>& one) {
                           return one.param.name;
                         });

}  // namespace
}  // namespace tfd::agent
