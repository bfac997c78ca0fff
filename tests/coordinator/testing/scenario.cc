#include "tests/coordinator/testing/scenario.h"

#include <algorithm>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "daemon/coordinator/core/apply.h"
#include "daemon/coordinator/core/describe.h"
#include "daemon/coordinator/core/invariants.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/core/views.h"
#include "daemon/coordinator/decide/datasets.h"
#include "daemon/coordinator/decide/growth.h"
#include "daemon/coordinator/decide/jobs.h"
#include "daemon/coordinator/decide/nodes.h"
#include "daemon/coordinator/decide/tasks.h"
#include "daemon/coordinator/decide/timers.h"
#include "tests/coordinator/testing/values.h"

namespace tfd::coordinator::testing {
namespace {

CheckpointRef CheckpointAt(int64_t step) {
  return {step, absl::StrCat("/runs/s", step), 1};
}

// The words of an effect; those about publishing are not interesting.
struct EffectText {
  const State& state;

  std::string operator()(const SendDesired& e) const {
    std::vector<std::string> tasks;
    for (const DesiredTask& desired : DesiredOn(state, e.node)) {
      tasks.push_back(
          absl::StrCat(desired.job->id, " ", TaskName(*desired.task)));
    }
    return absl::StrCat("desired ", e.node, ": ",
                        tasks.empty() ? "nothing" : absl::StrJoin(tasks, ", "));
  }
  std::string operator()(const SendMembership& e) const {
    return absl::StrCat("membership to ", e.job);
  }
  std::string operator()(const SendDataset& e) const {
    return absl::StrCat("dataset ", e.dataset, " to ", e.job);
  }
  std::string operator()(const SendSegment& e) const {
    return absl::StrCat("segment ", e.segment, " of ", e.dataset, " to ",
                        e.job);
  }
  std::string operator()(const SendProducerAborted& e) const {
    return absl::StrCat("abort of ", e.producer, " to the feeds of ", e.job);
  }
  std::string operator()(const SendWriteManifest& e) const {
    return absl::StrCat("write manifest ", e.step, " to ", e.job, " ps/0");
  }
  std::string operator()(const SendCommitted& e) const {
    const Job& job = state.jobs.at(e.job);
    std::string text = absl::StrCat("committed to ", e.job, " ps/0:");
    for (const Checkpoint& checkpoint : job.checkpoints) {
      absl::StrAppend(&text, " ", checkpoint.ref.step);
    }
    if (!job.retired.empty()) absl::StrAppend(&text, ", deleted:");
    for (const CheckpointRef& retired : job.retired) {
      absl::StrAppend(&text, " ", retired.step);
    }
    return text;
  }
  std::string operator()(const SendEvaluate& e) const {
    const Job& job = state.jobs.at(e.job);
    return absl::StrCat("evaluate ", job.evaluating.value_or(-1), " to ", e.job,
                        " ", FinisherOf(job));
  }
  std::string operator()(const SendExport& e) const {
    const Job& job = state.jobs.at(e.job);
    return absl::StrCat("export ", job.exporting.value_or(-1), " to ", e.job,
                        " ", FinisherOf(job));
  }
  std::string operator()(const RefuseTask& e) const {
    return absl::StrCat("refuse ", e.job, " ", e.task);
  }
  std::string operator()(const PublishJob&) const { return ""; }
  std::string operator()(const PublishNodes&) const { return ""; }
  std::string operator()(const ReviewQueue&) const { return ""; }
};

}  // namespace

Scenario::Scenario() : ledger_(new Ledger(State())), now_(At(0)) {
  StartJudging(runtime_, terms_, now_);
}

std::string Scenario::Command::Word(size_t index) const {
  return index < words.size() ? words[index] : "";
}

int64_t Scenario::Command::Number(size_t index) const {
  int64_t number = 0;
  (void)absl::SimpleAtoi(Word(index), &number);
  return number;
}

std::string Scenario::Command::Option(const std::string& name,
                                      const std::string& otherwise) const {
  const auto it = options.find(name);
  return it == options.end() ? otherwise : it->second;
}

int64_t Scenario::Command::NumberOption(const std::string& name,
                                        int64_t otherwise) const {
  int64_t number = 0;
  return absl::SimpleAtoi(Option(name), &number) ? number : otherwise;
}

Scenario::Command Scenario::Parse(const std::string& line) {
  Command command;
  for (const auto& part : absl::StrSplit(line, ' ', absl::SkipEmpty())) {
    const std::string word(part.data(), part.size());
    const size_t equals = word.find('=');
    if (equals == std::string::npos) {
      command.words.push_back(word);
    } else {
      command.options[word.substr(0, equals)] = word.substr(equals + 1);
    }
  }
  return command;
}

Context Scenario::context() { return {*ledger_, runtime_, terms_, now_}; }

std::string Scenario::Play(const std::string& transcript) {
  output_.clear();
  for (const auto& part : absl::StrSplit(transcript, '\n')) {
    const std::string line(part.data(), part.size());
    if (absl::StartsWith(line, "  ")) continue;
    output_ += line + "\n";
    if (line.empty() || line[0] == '#') continue;
    Do(Parse(line));
    Settle();
  }
  while (absl::EndsWith(output_, "\n\n")) output_.pop_back();
  // The same events one by one: what holds after each of them.
  State state;
  for (const Event& event : journal_) {
    Apply(state, event);
    const absl::Status status = CheckInvariants(state);
    if (!status.ok()) {
      problems_.push_back(absl::StrCat("after event ", state.last_index, ": ",
                                       status.message()));
      break;
    }
  }
  return output_;
}

void Scenario::Settle() {
  if (ledger_->has_effect_to_review_queue()) PlaceQueued(context());
  Ledger::Batch batch = ledger_->TakeBatch();
  State before;
  for (const Event& event : journal_) Apply(before, event);
  for (Event& event : batch.events) {
    const Description description = Describe(before, event.body);
    Apply(before, event);
    Say(absl::StrCat("+ ", description.kind,
                     description.task.empty() ? "" : " ", description.task,
                     ": ", description.message));
    journal_.push_back(std::move(event));
  }
  for (const Effect& effect : batch.effects) SayEffect(effect);
}

void Scenario::SayEffect(const Effect& effect) {
  const std::string text = std::visit(EffectText{ledger_->state()}, effect);
  if (!text.empty()) Say("> " + text);
}

void Scenario::SayStatus(const absl::Status& status) {
  if (status.ok()) return;
  Say(absl::StrCat("= ", absl::StatusCodeToString(status.code()), ": ",
                   status.message()));
}

void Scenario::Do(const Command& command) {
  if (DoJob(command) || DoNode(command) || DoTask(command) || DoData(command) ||
      DoTime(command)) {
    return;
  }
  Say("? no such command");
}

bool Scenario::DoJob(const Command& command) {
  if (command.Word(0) == "submit") {
    const std::string purpose = command.Option("purpose", "train");
    JobFacts facts =
        Facts(static_cast<int>(
                  command.NumberOption("ps", purpose == "train" ? 1 : 0)),
              static_cast<int>(command.NumberOption("worker", 1)),
              static_cast<int>(command.NumberOption("evaluator", 0)));
    for (RoleNeed& need : facts.roles) {
      need.each.millicpus = 1000 * command.NumberOption("cpus", 1);
    }
    facts.has_validation = command.Option("validation", "yes") == "yes";
    facts.keep = static_cast<int>(command.NumberOption("keep", 2));
    facts.one_node = command.Option("one_node") == "yes";
    facts.max_failures = static_cast<int>(command.NumberOption("failures", 0));
    facts.replaceable_workers = command.NumberOption("ps", 1) > 0;
    facts.storage = command.Option("storage", "/runs/" + command.Word(1));
    if (purpose == "predict") facts.purpose = Purpose::kPredict;
    if (purpose == "serve") {
      facts.purpose = Purpose::kServe;
      facts.storage.clear();
    }
    double target = 0;
    if (absl::SimpleAtod(command.Option("accuracy"), &target)) {
      facts.target = Target{"accuracy", target, {}};
    }
    const int64_t producers = command.NumberOption("pushed", 0);
    if (producers > 0) {
      PushedDataset pushed{"train", static_cast<int>(producers)};
      const std::string growth = command.Option("growth");
      if (growth == "seal") pushed.growth = Growth::kSeal;
      if (growth == "stream") pushed.growth = Growth::kStream;
      pushed.step_rows = command.NumberOption("step_rows", 1);
      pushed.read_once = command.Option("once") == "yes";
      facts.pushed.push_back(pushed);
    }
    const absl::StatusOr<SubmitOutcome> outcome =
        Submit(context(), {command.Word(1), "ada",
                           absl::StrCat("spec with ", command.options.size()),
                           facts, "token", "feed-token"});
    SayStatus(outcome.status());
    if (outcome.ok() && *outcome == SubmitOutcome::kSame) Say("= the same");
    if (outcome.ok() && *outcome == SubmitOutcome::kOther) Say("= another");
    return true;
  }
  if (command.Word(0) == "cancel") {
    SayStatus(Cancel(context(), command.Word(1), command.Word(2)));
    return true;
  }
  if (command.Word(0) == "show") {
    Show(command.Word(1));
    return true;
  }
  return false;
}

uint64_t Scenario::GenerationOf(const Command& command, const std::string& job,
                                const std::string& task) const {
  const Job* known = FindJob(ledger_->state(), job);
  const Task* found = known == nullptr ? nullptr : FindTask(*known, task);
  const uint64_t otherwise =
      found == nullptr || found->generation == 0 ? 1 : found->generation;
  return static_cast<uint64_t>(
      command.NumberOption("generation", static_cast<int64_t>(otherwise)));
}

bool Scenario::DoNode(const Command& command) {
  if (command.Word(0) != "node" && command.Word(0) != "exited") return false;
  if (command.Word(0) == "node") {
    AgentFacts facts;
    facts.node = command.Word(1);
    facts.incarnation = command.Option("incarnation", "first");
    facts.offered = {
        1000 * command.NumberOption("cpus", 8),
        static_cast<uint64_t>(command.NumberOption("memory_gib", 64)) * kGiB};
    for (const auto& part :
         absl::StrSplit(command.Option("tasks"), ',', absl::SkipEmpty())) {
      const std::vector<std::string> key = absl::StrSplit(part, ':');
      ProcessReport report;
      report.job = key[0];
      report.task = key[1];
      report.generation = GenerationOf(command, report.job, report.task);
      report.pid = 100;
      facts.tasks.push_back(report);
    }
    SayStatus(AttachNode(context(), facts));
    return true;
  }
  ProcessReport report;
  report.job = command.Word(2);
  report.task = command.Word(3);
  report.generation = GenerationOf(command, report.job, report.task);
  ExitCause exit;
  exit.code = static_cast<int>(command.NumberOption("code", 0));
  exit.signal = static_cast<int>(command.NumberOption("signal", 0));
  if (exit.signal != 0) exit.kind = ExitCause::Kind::kSignaled;
  report.exit = exit;
  TakeReport(context(), command.Word(1), report);
  return true;
}

bool Scenario::DoTask(const Command& command) {
  const std::string& what = command.Word(0);
  const std::string job = command.Word(1);
  const Job* known = FindJob(ledger_->state(), job);
  const Task* task =
      known == nullptr ? nullptr : FindTask(*known, command.Word(2));
  const Speaker speaker{job, command.Word(2),
                        task == nullptr ? 7 : task->incarnation};
  if (what == "started" || what == "hello") {
    for (size_t i = 2; i < command.words.size(); ++i) {
      TaskFacts facts;
      facts.job = job;
      facts.task = command.Word(i);
      facts.generation = GenerationOf(command, job, facts.task);
      facts.incarnation =
          static_cast<uint64_t>(command.NumberOption("incarnation", 7));
      facts.pid = static_cast<int64_t>(100 + i);
      const int64_t restore = command.NumberOption("restore", 0);
      if (restore > 0) facts.restore = CheckpointAt(restore);
      if (what == "started") {
        const Task* placed = FindTask(*known, facts.task);
        TakeReport(context(), placed->node,
                   {job, facts.task, facts.generation, facts.pid, {}, 0});
        continue;
      }
      const absl::StatusOr<std::vector<Effect>> again =
          AttachTask(context(), facts);
      SayStatus(again.status());
      if (!again.ok()) continue;
      for (const Effect& effect : *again) SayEffect(effect);
    }
  } else if (what == "plan") {
    TakePlan(context(), speaker, {command.Number(3), 100, 6400, 64});
  } else if (what == "grown") {
    TrainingPlan plan{command.Number(3), 0, 6400, 64};
    plan.segments = command.Number(4);
    plan.open = command.Word(5) != "closed";
    TakePlan(context(), speaker, plan);
  } else if (what == "done") {
    TakeTrainingDone(context(), speaker, command.Number(3));
  } else if (what == "metrics") {
    TakeMetrics(context(), speaker, command.Number(3), 0.5, {{"loss", 0.25}});
  } else if (what == "saved") {
    const auto shard = static_cast<uint32_t>(command.Number(3));
    TakeShardSaved(context(), {job, absl::StrCat("ps/", shard), 7},
                   command.Number(2),
                   static_cast<uint32_t>(command.NumberOption("of", 0)),
                   {shard, absl::StrCat("shard-", shard), 1, 2});
  } else if (what == "manifest") {
    TakeManifestWritten(context(), {job, "ps/0", 7},
                        CheckpointAt(command.Number(2)));
  } else if (what == "evaluated") {
    double accuracy = 0;
    (void)absl::SimpleAtod(command.Word(4), &accuracy);
    TakeEvaluated(context(), speaker, command.Number(3),
                  {{"accuracy", accuracy}});
  } else if (what == "exported") {
    TakeExported(context(), speaker, command.Number(3), "/runs/export");
  } else {
    return false;
  }
  return true;
}

bool Scenario::DoData(const Command& command) {
  const std::string& what = command.Word(0);
  const ProducerKey key{command.Word(1), "train", command.Word(2)};
  if (what == "begin") {
    SayStatus(BeginProducer(context(), key));
  } else if (what == "abort") {
    SayStatus(AbortProducer(context(), key));
  } else if (what == "seal") {
    SayStatus(SealPartition(
        context(), key, 1, command.Word(3),
        {command.Word(4), command.Number(5), 1, "feed/0", "/spool"}));
  } else if (what == "commit") {
    std::vector<CommittedPartition> partitions;
    for (size_t i = 3; i < command.words.size(); ++i) {
      const std::vector<std::string> parts =
          absl::StrSplit(command.words[i], ':');
      int64_t rows = 0;
      (void)absl::SimpleAtoi(parts[2], &rows);
      partitions.push_back({parts[0], parts[1], rows});
    }
    const std::string batch = command.Option("batch");
    if (batch.empty()) {
      SayStatus(CommitProducer(context(), key, partitions));
      return true;
    }
    const absl::StatusOr<bool> published = CommitBatch(
        context(), key, command.NumberOption("batch", 0), partitions);
    SayStatus(published.status());
    if (published.ok()) Say(*published ? "= published" : "= was there already");
  } else if (what == "standing") {
    const auto standings = ReviewAttempts(
        context(), key.job, 1,
        {{"train", command.Word(2), command.Word(3), command.Word(4)}});
    SayStatus(standings.status());
    if (!standings.ok()) return true;
    static const char* const kNames[] = {"sealed", "open", "void"};
    Say(absl::StrCat("= ", kNames[static_cast<int>(standings->at(0))]));
  } else {
    return false;
  }
  return true;
}

bool Scenario::DoTime(const Command& command) {
  const std::string& what = command.Word(0);
  if (what == "mute") {
    muted_.insert(command.Word(1));
  } else if (what == "unmute") {
    muted_.erase(command.Word(1));
  } else if (what == "wait") {
    Wait(command.Number(1));
  } else if (what == "restart") {
    Restart();
  } else {
    return false;
  }
  return true;
}

void Scenario::Wait(int64_t seconds) {
  for (int64_t second = 0; second < seconds; ++second) {
    now_ += absl::Seconds(1);
    for (auto& [node, seen] : runtime_.nodes_seen) {
      if (muted_.count(node) == 0) seen = now_;
    }
    for (auto& [job, job_runtime] : runtime_.jobs) {
      for (auto& [task, seen] : job_runtime.tasks_seen) {
        if (muted_.count(job + ":" + task) == 0) seen = now_;
      }
    }
    LookAtTime(context());
    Settle();
  }
}

void Scenario::Restart() {
  State state;
  for (const Event& event : journal_) Apply(state, event);
  ledger_ = std::make_unique<Ledger>(std::move(state));
  runtime_ = Runtime();
  StartJudging(runtime_, terms_, now_);
}

void Scenario::Show(const std::string& id) {
  const Job* job = FindJob(ledger_->state(), id);
  if (job == nullptr) return Say("= there is no such job");
  const Progress progress = ProgressOf(*job, runtime_);
  Say(absl::StrCat(
      JobStateName(job->state), ": ",
      DescribeWait(*job, runtime_.jobs[id].queue_reason, progress.step)));
  for (const Task& task : job->tasks) {
    Say(absl::StrCat("  ", TaskName(task), " ", TaskStateName(task.state),
                     task.node.empty() ? "" : " on ", task.node,
                     task.reason.empty() ? "" : ": ", task.reason));
  }
}

}  // namespace tfd::coordinator::testing
