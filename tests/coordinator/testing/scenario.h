// Plays a transcript: a text with one command a line, against the coordinator's
// decisions with a clock of its own and no I/O. What was decided is written
// behind each command, indented:
//
//   submit j ps=1 worker=2
//     + JobSubmitted: submitted by ada, name test       an event, in words
//     > desired node-a: j ps/0, j worker/0              what the world is told
//     = FAILED_PRECONDITION: …                          what the caller is told
//
// Commands:
//   node NAME [cpus=8] [memory_gib=64] [incarnation=I] [tasks=JOB:TASK,…]
//   submit JOB [ps=N] [worker=N] [evaluator=N] [cpus=C] [validation=yes|no]
//          [accuracy=TARGET] [keep=N] [pushed=PRODUCERS] [one_node=yes]
//          [storage=S] [failures=N]
//   cancel JOB [REASON…]
//   started|hello JOB TASK…  [incarnation=N] [generation=N] [restore=STEP]
//   exited NODE JOB TASK [code=N] [signal=N] [generation=N]
//          (of the task's present generation where none is given)
//   plan|done|metrics JOB TASK STEP
//   saved JOB STEP SHARD · manifest JOB STEP
//   evaluated JOB TASK STEP ACCURACY · exported JOB TASK STEP
//   begin|abort JOB PRODUCER · seal JOB PRODUCER PARTITION ATTEMPT ROWS
//   commit JOB PRODUCER [PARTITION:ATTEMPT:ROWS…]
//   mute|unmute WHO        a node, or JOB:TASK: no heartbeats from it
//   wait SECONDS           heartbeats of everybody else, a look at each second
//   restart                the coordinator is rebuilt from its journal
//   show JOB
#ifndef TFD_TESTS_COORDINATOR_TESTING_SCENARIO_H_
#define TFD_TESTS_COORDINATOR_TESTING_SCENARIO_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/coordinator/core/ledger.h"
#include "daemon/coordinator/decide/context.h"

namespace tfd::coordinator::testing {

class Scenario {
 public:
  Scenario();

  // Plays the commands of a transcript (indented lines are left out) and gives
  // it with what is decided now. Invariants are checked as it goes; `problems`
  // says where one did not hold.
  std::string Play(const std::string& transcript);
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  struct Command {
    std::vector<std::string> words;
    std::map<std::string, std::string> options;
    std::string Word(size_t index) const;
    int64_t Number(size_t index) const;
    std::string Option(const std::string& name,
                       const std::string& otherwise = "") const;
    int64_t NumberOption(const std::string& name, int64_t otherwise) const;
  };

  static Command Parse(const std::string& line);
  void Do(const Command& command);
  bool DoJob(const Command& command);
  bool DoNode(const Command& command);
  bool DoTask(const Command& command);
  bool DoData(const Command& command);
  bool DoTime(const Command& command);
  // The task's, where the command does not say one.
  uint64_t GenerationOf(const Command& command, const std::string& job,
                        const std::string& task) const;
  void Wait(int64_t seconds);
  void Restart();
  void Show(const std::string& job);

  Context context();
  // What came of a command: its events and effects.
  void Settle();
  void Say(const std::string& line) { output_ += "  " + line + "\n"; }
  void SayStatus(const absl::Status& status);
  void SayEffect(const Effect& effect);

  std::unique_ptr<Ledger> ledger_;
  Runtime runtime_;
  Terms terms_;
  absl::Time now_;
  std::set<std::string> muted_;
  // All since the beginning, as the journal would have them.
  std::vector<Event> journal_;
  std::string output_;
  std::vector<std::string> problems_;
};

}  // namespace tfd::coordinator::testing

#endif  // TFD_TESTS_COORDINATOR_TESTING_SCENARIO_H_
