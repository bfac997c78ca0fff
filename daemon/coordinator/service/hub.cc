#include "daemon/coordinator/service/hub.h"

#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/coordinator/codec/job_codec.h"
#include "daemon/coordinator/codec/link_codec.h"
#include "daemon/coordinator/core/lifecycle.h"

namespace tfd::coordinator {
namespace {

// An agent that was heard of so lately (in heartbeats) is alive.
constexpr int kAliveHeartbeats = 3;
// Only the newest desired state is worth sending.
constexpr char kDesiredKey[] = "desired";

}  // namespace

// Turns effects into messages. Some are collected first: what changed five
// times in a batch is sent once.
class Hub::Releaser {
 public:
  Releaser(const Context& context, Hub* hub) : context_(context), hub_(hub) {}

  void operator()(const SendDesired& e) { desired_.insert(e.node); }
  void operator()(const SendMembership& e) {
    ToAll(e.job, [](const Job& job) { return EncodeMembership(job); });
  }
  void operator()(const SendDataset& e) {
    const Job* job = FindJob(context_.state(), e.job);
    const Dataset* dataset =
        job == nullptr ? nullptr : FindDataset(*job, e.dataset);
    if (dataset == nullptr) return;
    ToAll(e.job,
          [dataset](const Job&) { return EncodeDatasetCommand(*dataset); });
  }
  void operator()(const SendSegment& e) {
    const Job* job = FindJob(context_.state(), e.job);
    const Dataset* dataset =
        job == nullptr ? nullptr : FindDataset(*job, e.dataset);
    if (dataset == nullptr) return;
    ToAll(e.job, [&](const Job&) {
      v1::TaskCommand command;
      *command.mutable_segment() = EncodeSegment(*dataset, e.segment);
      return command;
    });
  }
  void operator()(const SendProducerAborted& e) {
    const Job* job = FindJob(context_.state(), e.job);
    if (job == nullptr) return;
    for (const Task& task : job->tasks) {
      if (task.role == Role::kFeed) ToOne(e.job, TaskName(task), e);
    }
  }
  void operator()(const SendWriteManifest& e) { ToFirstShard(e.job, e); }
  void operator()(const SendCommitted& e) { ToFirstShard(e.job, e); }
  void operator()(const SendEvaluate& e) { ToFinisher(e.job, e); }
  void operator()(const SendExport& e) { ToFinisher(e.job, e); }
  void operator()(const RefuseTask& e) {
    if (TaskSession* session = Session(e.job, e.task)) {
      session->Close(absl::FailedPreconditionError(
          absl::StrCat("job ", e.job, " ", e.task, " was given up: ", e.reason,
                       "; this process must end")));
    }
  }
  void operator()(const PublishJob& e) { jobs_.insert(e.job); }
  void operator()(const PublishNodes&) { nodes_ = true; }
  // The loop has seen to it.
  void operator()(const ReviewQueue&) {}

  // What was collected.
  void Finish() {
    for (const std::string& node : desired_) {
      const auto agent = hub_->agents_.find(node);
      if (agent == hub_->agents_.end()) continue;
      v1::AgentCommand command;
      *command.mutable_desired() = EncodeDesired(context_.state(), node);
      agent->second.session->Send(std::move(command), kDesiredKey);
    }
    hub_->Publish(context_, jobs_, nodes_);
  }

 private:
  TaskSession* Session(const std::string& job, const std::string& task) {
    const auto tasks = hub_->tasks_.find(job);
    if (tasks == hub_->tasks_.end()) return nullptr;
    const auto it = tasks->second.find(task);
    return it == tasks->second.end() ? nullptr : it->second.get();
  }

  template <typename Encode>
  void ToAll(const std::string& id, Encode encode) {
    const Job* job = FindJob(context_.state(), id);
    const auto tasks = hub_->tasks_.find(id);
    if (job == nullptr || tasks == hub_->tasks_.end()) return;
    const v1::TaskCommand command = encode(*job);
    for (const auto& [name, session] : tasks->second) session->Send(command);
  }

  void ToOne(const std::string& job, const std::string& task,
             const Effect& effect) {
    TaskSession* session = Session(job, task);
    // One that is not there is told when it comes back.
    if (session != nullptr) hub_->ReleaseTo(context_, {effect}, *session);
  }

  void ToFirstShard(const std::string& id, const Effect& effect) {
    const Job* job = FindJob(context_.state(), id);
    if (job == nullptr) return;
    ToOne(id, TaskName(ShardRoleOf(*job), 0), effect);
  }

  void ToFinisher(const std::string& id, const Effect& effect) {
    const Job* job = FindJob(context_.state(), id);
    if (job != nullptr) ToOne(id, FinisherOf(*job), effect);
  }

  const Context& context_;
  Hub* const hub_;
  std::set<std::string> desired_;
  std::set<std::string> jobs_;
  bool nodes_ = false;
};

namespace {

// One effect as a command to the task it concerns. A batch may hold both the
// question and what made it void: then there is nothing to send.
class CommandEncoder {
 public:
  CommandEncoder(const Context& context, TaskSession& session)
      : context_(context), session_(session) {}

  void operator()(const SendMembership& e) {
    if (const Job* job = Find(e.job)) session_.Send(EncodeMembership(*job));
  }
  void operator()(const SendCommitted& e) {
    if (const Job* job = Find(e.job)) session_.Send(EncodeCommitted(*job));
  }
  void operator()(const SendEvaluate& e) {
    const Job* job = Find(e.job);
    if (job != nullptr && job->evaluating) session_.Send(EncodeEvaluate(*job));
  }
  void operator()(const SendExport& e) {
    const Job* job = Find(e.job);
    if (job != nullptr && job->exporting) session_.Send(EncodeExport(*job));
  }
  void operator()(const SendWriteManifest& e) {
    const auto runtime = context_.runtime.jobs.find(e.job);
    if (runtime == context_.runtime.jobs.end()) return;
    const auto shards = runtime->second.shards_saved.find(e.step);
    if (shards == runtime->second.shards_saved.end()) return;
    session_.Send(EncodeWriteManifest(e.step, shards->second.files));
  }
  void operator()(const SendDataset& e) {
    const Job* job = Find(e.job);
    const Dataset* dataset =
        job == nullptr ? nullptr : FindDataset(*job, e.dataset);
    if (dataset != nullptr) session_.Send(EncodeDatasetCommand(*dataset));
  }
  void operator()(const SendProducerAborted& e) {
    v1::TaskCommand command;
    command.mutable_producer_aborted()->set_dataset(e.dataset);
    command.mutable_producer_aborted()->set_producer(e.producer);
    session_.Send(std::move(command));
  }
  // Membership has all segments.
  void operator()(const SendSegment&) {}
  // These are not for a task.
  void operator()(const SendDesired&) {}
  void operator()(const RefuseTask&) {}
  void operator()(const PublishJob&) {}
  void operator()(const PublishNodes&) {}
  void operator()(const ReviewQueue&) {}

 private:
  const Job* Find(const std::string& id) {
    return FindJob(context_.state(), id);
  }

  const Context& context_;
  TaskSession& session_;
};

}  // namespace

absl::Status Hub::CheckAgent(const Context& context, const std::string& node,
                             const std::string& incarnation) const {
  const auto it = agents_.find(node);
  if (it == agents_.end() || it->second.incarnation == incarnation) {
    return absl::OkStatus();
  }
  const absl::Duration silent = context.now - it->second.session->last_seen();
  if (silent > kAliveHeartbeats * context.terms.lease.heartbeat) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat(
      "another agent with the name ", node,
      " is connected: give this one a name of its own (tfd-agent --node "
      "NAME); if that one was just killed, this passes by itself"));
}

void Hub::AddAgent(const std::string& node, const std::string& incarnation,
                   AgentSession::Pointer session) {
  Agent& agent = agents_[node];
  if (agent.session != nullptr) {
    agent.session->Close(
        absl::UnavailableError("this agent has opened another stream"));
  }
  agent = {incarnation, std::move(session)};
}

void Hub::AddTask(const std::string& job, const std::string& task,
                  TaskSession::Pointer session) {
  TaskSession::Pointer& entry = tasks_[job][task];
  if (entry != nullptr) {
    entry->Close(absl::UnavailableError("this task has opened another stream"));
  }
  entry = std::move(session);
}

void Hub::RemoveAgent(const std::string& node, const AgentSession* session) {
  const auto it = agents_.find(node);
  if (it != agents_.end() && it->second.session.get() == session) {
    agents_.erase(it);
  }
}

void Hub::RemoveTask(const std::string& job, const std::string& task,
                     const TaskSession* session) {
  const auto tasks = tasks_.find(job);
  if (tasks == tasks_.end()) return;
  const auto it = tasks->second.find(task);
  if (it == tasks->second.end() || it->second.get() != session) return;
  tasks->second.erase(it);
  if (tasks->second.empty()) tasks_.erase(tasks);
}

void Hub::ReleaseTo(const Context& context, const std::vector<Effect>& effects,
                    TaskSession& session) const {
  CommandEncoder encoder(context, session);
  for (const Effect& effect : effects) std::visit(encoder, effect);
}

void Hub::CollectHeartbeats(Runtime& runtime) {
  for (const auto& [node, agent] : agents_) {
    absl::Time& seen = runtime.nodes_seen[node];
    seen = std::max(seen, agent.session->last_seen());
  }
  for (const auto& [job, tasks] : tasks_) {
    // Of an ended job, whose tasks are still leaving, nothing is kept.
    const auto known = runtime.jobs.find(job);
    if (known == runtime.jobs.end()) continue;
    for (const auto& [task, session] : tasks) {
      absl::Time& seen = known->second.tasks_seen[task];
      seen = std::max(seen, session->last_seen());
    }
  }
}

void Hub::Release(const Context& context, const std::vector<Effect>& effects) {
  Releaser releaser(context, this);
  for (const Effect& effect : effects) std::visit(releaser, effect);
  releaser.Finish();
}

void Hub::Publish(const Context& context, const std::set<std::string>& jobs,
                  bool nodes) {
  if (nodes) {
    board_->PublishNodes(std::make_shared<v1::ListNodesResponse>(
        EncodeNodes(context.state(), context.runtime)));
  }
  for (const std::string& id : jobs) {
    const Job* job = FindJob(context.state(), id);
    if (job == nullptr) continue;
    auto& spec = specs_[id];
    if (spec == nullptr) {
      auto parsed = std::make_shared<v1::JobSpec>();
      // What was serialized here before; were it not, it would show as empty.
      parsed->ParseFromString(job->spec);
      spec = std::move(parsed);
    }
    auto message = std::make_shared<v1::Job>(EncodeJob(*job, context.runtime));
    *message->mutable_spec() = *spec;
    board_->PublishJob(job->submitted_index, std::move(message));
    if (IsEnd(job->state)) specs_.erase(id);
  }
}

}  // namespace tfd::coordinator
