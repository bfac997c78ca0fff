#include "daemon/coordinator/service/coordinator_service.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "daemon/coordinator/codec/spec_codec.h"
#include "daemon/coordinator/decide/jobs.h"
#include "daemon/coordinator/service/followers.h"
#include "daemon/coordinator/service/reply_stream.h"
#include "daemon/coordinator/service/unary_call.h"

namespace tfd::coordinator {
namespace {

constexpr char kUnknownOwner[] = "anonymous";

// The job as published after the decision was durable.
absl::Status CopyJob(const Board& board, const std::string& id,
                     v1::Job* response) {
  const JobSnapshot job = board.FindJob(id);
  if (job == nullptr) return RequireJob(State(), id).status();
  *response = *job;
  return absl::OkStatus();
}

// On the loop: takes the job in, or says how it differs from the one there is.
absl::Status SubmitOnLoop(const Context& context, SubmitCommand command,
                          const v1::JobSpec& spec) {
  const std::string id = command.id;
  const absl::StatusOr<SubmitOutcome> outcome =
      Submit(context, std::move(command));
  if (!outcome.ok()) return outcome.status();
  if (*outcome != SubmitOutcome::kOther) return absl::OkStatus();
  return CompareSpecs(id, FindJob(context.state(), id)->spec, spec);
}

}  // namespace

grpc::ServerUnaryReactor* CoordinatorService::SubmitJob(
    grpc::CallbackServerContext* context, const v1::SubmitJobRequest* request,
    v1::Job* response) {
  auto call = std::make_shared<UnaryCall>(context);
  v1::JobSpec spec = request->spec();
  absl::Status status = NormaliseSpec(&spec);
  if (status.ok()) {
    SubmitCommand command;
    command.id = request->id().empty()
                     ? absl::StrCat(spec.name(), "-", RandomId())
                     : request->id();
    command.owner = request->owner().empty() ? kUnknownOwner : request->owner();
    command.spec = SerializeSpec(spec);
    command.facts = FactsOf(spec);
    command.token = RandomToken();
    command.feed_token = RandomToken();
    status = dependencies_.loop->Post([call, response,
                                       board = dependencies_.board, spec,
                                       command = std::move(command)](
                                          const Context& decision) -> Answer {
      const absl::Status decided = SubmitOnLoop(decision, command, spec);
      return [call, response, board, decided, id = command.id](const Context&) {
        call->Answer(decided.ok() ? CopyJob(*board, id, response) : decided);
      };
    });
  }
  if (!status.ok()) call->Answer(status);
  return call->reactor();
}

grpc::ServerUnaryReactor* CoordinatorService::GetJob(
    grpc::CallbackServerContext* context, const v1::GetJobRequest* request,
    v1::Job* response) {
  UnaryCall call(context);
  call.Answer(CopyJob(*dependencies_.board, request->id(), response));
  return call.reactor();
}

grpc::ServerUnaryReactor* CoordinatorService::ListJobs(
    grpc::CallbackServerContext* context, const v1::ListJobsRequest* request,
    v1::ListJobsResponse* response) {
  UnaryCall call(context);
  for (const JobSnapshot& job : dependencies_.board->ListJobs()) {
    if (request->active_only() && HasEnded(*job)) continue;
    v1::Job* listed = response->add_jobs();
    *listed = *job;
    listed->clear_spec();
  }
  call.Answer(absl::OkStatus());
  return call.reactor();
}

grpc::ServerUnaryReactor* CoordinatorService::CancelJob(
    grpc::CallbackServerContext* context, const v1::CancelJobRequest* request,
    v1::Job* response) {
  auto call = std::make_shared<UnaryCall>(context);
  const absl::Status posted = dependencies_.loop->Post(
      [call, response, board = dependencies_.board, id = request->id(),
       reason = request->reason()](const Context& decision) -> Answer {
        const absl::Status decided = Cancel(decision, id, reason);
        return [call, response, board, decided, id](const Context&) {
          call->Answer(decided.ok() ? CopyJob(*board, id, response) : decided);
        };
      });
  if (!posted.ok()) call->Answer(posted);
  return call->reactor();
}

grpc::ServerUnaryReactor* CoordinatorService::ListNodes(
    grpc::CallbackServerContext* context, const v1::ListNodesRequest*,
    v1::ListNodesResponse* response) {
  UnaryCall call(context);
  *response = *dependencies_.board->nodes();
  call.Answer(absl::OkStatus());
  return call.reactor();
}

grpc::ServerWriteReactor<v1::Job>* CoordinatorService::WatchJob(
    grpc::CallbackServerContext*, const v1::WatchJobRequest* request) {
  auto stream = ReplyStream<v1::Job>::Start();
  FollowJob(dependencies_, request->id(), stream);
  return stream.get();
}

grpc::ServerWriteReactor<v1::Event>* CoordinatorService::ReadEvents(
    grpc::CallbackServerContext*, const v1::ReadEventsRequest* request) {
  auto stream = ReplyStream<v1::Event>::Start();
  FollowEvents(dependencies_, *request, stream);
  return stream.get();
}

grpc::ServerWriteReactor<v1::LogLines>* CoordinatorService::ReadLogs(
    grpc::CallbackServerContext*, const v1::ReadLogsRequest* request) {
  auto stream = ReplyStream<v1::LogLines>::Start();
  RelayLogs({dependencies_.loop, dependencies_.board, dependencies_.agents},
            *request, stream);
  return stream.get();
}

}  // namespace tfd::coordinator
