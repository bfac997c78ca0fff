#include "daemon/coordinator/service/link_services.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/net/server.h"
#include "daemon/coordinator/codec/link_codec.h"
#include "daemon/coordinator/codec/value_codec.h"
#include "daemon/coordinator/decide/datasets.h"
#include "daemon/coordinator/decide/jobs.h"
#include "daemon/coordinator/decide/nodes.h"
#include "daemon/coordinator/decide/tasks.h"
#include "daemon/coordinator/service/unary_call.h"
#include "spdlog/spdlog.h"

namespace tfd::coordinator {
namespace {

// A task goes on alone this long while the coordinator is away.
constexpr absl::Duration kTaskPatience = absl::Seconds(60);

absl::Status HelloFirst() {
  return absl::InvalidArgumentError(
      "the first message of this stream must be hello, and only the first");
}

absl::Status Review(const Context& context,
                    const v1::ReviewAttemptsRequest& request,
                    v1::ReviewAttemptsResponse* response) {
  const absl::StatusOr<std::vector<AttemptStanding>> standings =
      coordinator::ReviewAttempts(context, request.job(), request.generation(),
                                  Decode(request));
  if (!standings.ok()) return standings.status();
  for (const AttemptStanding standing : *standings) {
    response->add_standings(Encode(standing));
  }
  return absl::OkStatus();
}

// What is being said on one stream of an agent. Event-loop only once the stream
// is attached; shared with the session's callbacks.
struct AgentConversation {
  LinkDependencies dependencies;
  std::string cluster_id;
  // Empty before the hello.
  std::string node;

  Answer Hello(const Context& context, const AgentSession::Pointer& session,
               const v1::AgentHello& hello);
};

Answer AgentConversation::Hello(const Context& context,
                                const AgentSession::Pointer& session,
                                const v1::AgentHello& hello) {
  absl::StatusOr<AgentFacts> facts = DecodeHello(hello);
  if (facts.ok() && !node.empty()) facts = HelloFirst();
  absl::Status status = facts.status();
  if (status.ok()) {
    status =
        dependencies.hub->CheckAgent(context, facts->node, facts->incarnation);
  }
  if (!status.ok()) {
    spdlog::warn("an agent was refused: {}", std::string(status.message()));
    session->Close(status);
    return nullptr;
  }
  node = facts->node;
  dependencies.hub->AddAgent(node, facts->incarnation, session);
  v1::AgentCommand welcome;
  welcome.mutable_welcome()->set_heartbeat_interval_ms(
      absl::ToInt64Milliseconds(context.terms.lease.heartbeat));
  welcome.mutable_welcome()->set_lease_ms(
      absl::ToInt64Milliseconds(context.terms.lease.lease));
  welcome.mutable_welcome()->set_cluster_id(cluster_id);
  session->Send(std::move(welcome));
  spdlog::info("node {} is there, version {}, {} tasks", node, hello.version(),
               hello.tasks_size());
  status = AttachNode(context, *std::move(facts));
  if (!status.ok()) session->Close(status);
  return nullptr;
}

struct TaskConversation {
  LinkDependencies dependencies;
  Speaker speaker;

  Answer Hello(const Context& context, const TaskSession::Pointer& session,
               const v1::TaskHello& hello);
  void Message(const Context& context, const v1::TaskMessage& message);
};

Answer TaskConversation::Hello(const Context& context,
                               const TaskSession::Pointer& session,
                               const v1::TaskHello& hello) {
  absl::StatusOr<TaskFacts> facts = DecodeHello(hello);
  if (facts.ok() && !speaker.task.empty()) facts = HelloFirst();
  absl::Status status = facts.status();
  const Job* job = status.ok() ? FindJob(context.state(), facts->job) : nullptr;
  if (job != nullptr) status = net::CheckToken(session->token(), job->token);
  absl::StatusOr<std::vector<Effect>> again =
      status.ok() ? AttachTask(context, *facts)
                  : absl::StatusOr<std::vector<Effect>>(status);
  if (!again.ok()) {
    spdlog::warn("a task was refused: {}",
                 std::string(again.status().message()));
    // What refused it may be an event: it is told once that is durable.
    return [session, refused = again.status()](const Context&) {
      session->Close(refused);
    };
  }
  speaker = {facts->job, facts->task, facts->incarnation};
  v1::TaskCommand welcome;
  welcome.mutable_welcome()->set_heartbeat_interval_ms(
      absl::ToInt64Milliseconds(context.terms.lease.heartbeat));
  welcome.mutable_welcome()->set_patience_ms(
      absl::ToInt64Milliseconds(kTaskPatience));
  session->Send(std::move(welcome));
  dependencies.hub->AddTask(speaker.job, speaker.task, session);
  return [hub = dependencies.hub, session,
          effects = *std::move(again)](const Context& durable) {
    hub->ReleaseTo(durable, effects, *session);
  };
}

void TaskConversation::Message(const Context& context,
                               const v1::TaskMessage& message) {
  switch (message.message_case()) {
    case v1::TaskMessage::kMetrics:
      TakeMetrics(context, speaker, message.metrics().step(),
                  message.metrics().epoch(),
                  {message.metrics().values().begin(),
                   message.metrics().values().end()});
      break;
    case v1::TaskMessage::kShardSaved:
      TakeShardSaved(context, speaker, message.shard_saved().step(),
                     message.shard_saved().shards(),
                     Decode(message.shard_saved().file()));
      break;
    case v1::TaskMessage::kManifestWritten:
      TakeManifestWritten(context, speaker,
                          Decode(message.manifest_written().checkpoint()));
      break;
    case v1::TaskMessage::kEvaluated:
      TakeEvaluated(context, speaker, message.evaluated().step(),
                    {message.evaluated().values().begin(),
                     message.evaluated().values().end()});
      break;
    case v1::TaskMessage::kExported:
      TakeExported(context, speaker, message.exported().step(),
                   message.exported().uri());
      break;
    case v1::TaskMessage::kPlan:
      TakePlan(context, speaker, Decode(message.plan()));
      break;
    case v1::TaskMessage::kDone:
      TakeTrainingDone(context, speaker, message.done().step());
      break;
    case v1::TaskMessage::kSpoolNotice:
      TakeSpoolNotice(context, speaker, KindOf(message.spool_notice()),
                      message.spool_notice().message());
      break;
    case v1::TaskMessage::kHello:
    case v1::TaskMessage::kHeartbeat:
    // A newer task may say what this coordinator does not know.
    case v1::TaskMessage::MESSAGE_NOT_SET:
      break;
  }
}

}  // namespace

grpc::ServerBidiReactor<v1::AgentMessage, v1::AgentCommand>*
AgentLinkService::Attach(grpc::CallbackServerContext* context) {
  auto conversation = std::make_shared<AgentConversation>();
  conversation->dependencies = dependencies_;
  conversation->cluster_id = cluster_id_;
  AgentSession::Callbacks callbacks;
  callbacks.on_message = [conversation](const AgentSession::Pointer& session,
                                        v1::AgentMessage message) {
    conversation->dependencies.loop->PostAlways(
        [conversation, session,
         message = std::move(message)](const Context& decision) -> Answer {
          Answer answer;
          if (message.has_hello()) {
            answer = conversation->Hello(decision, session, message.hello());
          } else if (conversation->node.empty()) {
            session->Close(HelloFirst());
          } else if (message.has_report()) {
            TakeReport(decision, conversation->node, Decode(message.report()));
          }
          session->ReadNext();
          return answer;
        });
  };
  callbacks.on_end = [conversation](const AgentSession::Pointer& session) {
    conversation->dependencies.loop->PostAlways(
        [conversation, session](const Context&) -> Answer {
          conversation->dependencies.hub->RemoveAgent(conversation->node,
                                                      session.get());
          return nullptr;
        });
  };
  return AgentSession::Start(dependencies_.clock, net::PresentedToken(*context),
                             std::move(callbacks))
      .get();
}

grpc::ServerBidiReactor<v1::TaskMessage, v1::TaskCommand>*
TaskLinkService::Attach(grpc::CallbackServerContext* context) {
  auto conversation = std::make_shared<TaskConversation>();
  conversation->dependencies = dependencies_;
  TaskSession::Callbacks callbacks;
  callbacks.on_message = [conversation](const TaskSession::Pointer& session,
                                        v1::TaskMessage message) {
    conversation->dependencies.loop->PostAlways(
        [conversation, session,
         message = std::move(message)](const Context& decision) -> Answer {
          Answer answer;
          if (message.has_hello()) {
            answer = conversation->Hello(decision, session, message.hello());
          } else if (conversation->speaker.task.empty()) {
            session->Close(HelloFirst());
          } else {
            conversation->Message(decision, message);
          }
          session->ReadNext();
          return answer;
        });
  };
  callbacks.on_end = [conversation](const TaskSession::Pointer& session) {
    conversation->dependencies.loop->PostAlways([conversation, session](
                                                    const Context&) -> Answer {
      conversation->dependencies.hub->RemoveTask(
          conversation->speaker.job, conversation->speaker.task, session.get());
      return nullptr;
    });
  };
  return TaskSession::Start(dependencies_.clock, net::PresentedToken(*context),
                            std::move(callbacks))
      .get();
}

grpc::ServerUnaryReactor* TaskLinkService::SealPartition(
    grpc::CallbackServerContext* context,
    const v1::SealPartitionRequest* request, v1::SealPartitionResponse*) {
  auto call = std::make_shared<UnaryCall>(context);
  const absl::Status posted = dependencies_.loop->Post(
      [call, request = *request, token = net::PresentedToken(*context)](
          const Context& decision) -> Answer {
        const absl::StatusOr<const Job*> job =
            RequireJob(decision.state(), request.job());
        absl::Status status = job.status();
        if (status.ok()) status = net::CheckToken(token, (*job)->token);
        if (status.ok()) {
          const auto decide = request.only_ask() ? MaySealPartition
                                                 : coordinator::SealPartition;
          status = decide(decision,
                          {request.job(), request.dataset(),
                           request.partition().producer()},
                          request.generation(), request.partition().partition(),
                          Decode(request.partition()));
        }
        return [call, status](const Context&) { call->Answer(status); };
      });
  if (!posted.ok()) call->Answer(posted);
  return call->reactor();
}

grpc::ServerUnaryReactor* TaskLinkService::ReviewAttempts(
    grpc::CallbackServerContext* context,
    const v1::ReviewAttemptsRequest* request,
    v1::ReviewAttemptsResponse* response) {
  auto call = std::make_shared<UnaryCall>(context);
  const absl::Status posted =
      dependencies_.loop->Post([call, response, request = *request,
                                token = net::PresentedToken(*context)](
                                   const Context& decision) -> Answer {
        const absl::StatusOr<const Job*> job =
            RequireJob(decision.state(), request.job());
        absl::Status status = job.status();
        if (status.ok()) status = net::CheckToken(token, (*job)->token);
        // Looked at once what it was asked behind is durable: what is dropped
        // is dropped for good.
        return [call, response, request, status](const Context& durable) {
          call->Answer(status.ok() ? Review(durable, request, response)
                                   : status);
        };
      });
  if (!posted.ok()) call->Answer(posted);
  return call->reactor();
}

}  // namespace tfd::coordinator
