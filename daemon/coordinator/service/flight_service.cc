#include "daemon/coordinator/service/flight_service.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/units.h"
#include "daemon/coordinator/codec/action_codec.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/core/views.h"
#include "daemon/coordinator/decide/growth.h"
#include "daemon/coordinator/decide/jobs.h"
#include "daemon/coordinator/service/followers.h"
#include "daemon/coordinator/service/reply_stream.h"
#include "daemon/coordinator/service/unary_call.h"

namespace tfd::coordinator {
namespace {

namespace flight = arrow::flight::protocol;

// How long GetFlightInfo waits for a job to run, at most.
constexpr absl::Duration kLongestWait = absl::Seconds(30);
// Answered so much before the caller's own deadline, so that the answer says
// more than that it came too late.
constexpr absl::Duration kMargin = absl::Milliseconds(200);
// Beside the names of datasets: where rows are answered.
constexpr char kPredictFlight[] = "predict";

absl::Status CheckDescriptor(const flight::FlightDescriptor& descriptor) {
  if (descriptor.type() == flight::FlightDescriptor::PATH &&
      descriptor.path_size() == 3 && descriptor.path(0) == "jobs") {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "a flight is named by the path [\"jobs\", JOB, DATASET], for example "
      "[\"jobs\", \"mnist-1\", \"train\"]");
}

absl::StatusOr<const Dataset*> RequireDataset(const Job& job,
                                              const std::string& name) {
  if (const Dataset* dataset = FindDataset(job, name)) return dataset;
  return absl::NotFoundError(
      absl::StrCat("job ", job.id, " has no pushed dataset \"", name,
                   "\": its spec would say data.", name, ".format: pushed"));
}

// Unavailable where none of them is there just now.
absl::Status AddEndpoints(const Job& job, Role role, flight::FlightInfo* info) {
  for (const Task& task : job.tasks) {
    if (task.role != role || task.state != TaskState::kRunning ||
        task.endpoint.tcp.empty()) {
      continue;
    }
    flight::FlightEndpoint* endpoint = info->add_endpoint();
    endpoint->mutable_ticket()->set_ticket(job.feed_token);
    endpoint->add_location()->set_uri(
        absl::StrCat("grpc+tcp://", task.endpoint.tcp));
  }
  if (info->endpoint_size() > 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "no ", RoleName(role), " of job ", job.id,
      " is there just now: ", DescribeWait(job, "", 0), "; try again"));
}

// Where rows are answered: the path ["jobs", JOB, "predict"].
absl::Status DescribePredictions(const Job& job) {
  if (job.facts.purpose == Purpose::kServe) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "job ", job.id, " does not answer rows: it ",
      job.facts.purpose == Purpose::kTrain ? "trains" : "answers files",
      "; submit one with `predict: {model: …}` and no input "
      "(docs/predict.md)"));
}

absl::Status DescribeFlight(const State& state,
                            const flight::FlightDescriptor& descriptor,
                            flight::FlightInfo* info) {
  const absl::StatusOr<const Job*> job = RequireJob(state, descriptor.path(1));
  if (!job.ok()) return job.status();
  if (IsEnd((*job)->state)) {
    return absl::FailedPreconditionError(
        absl::StrCat("job ", (*job)->id,
                     (*job)->facts.purpose == Purpose::kTrain
                         ? " takes no more data, it has ended: "
                         : " answers no more rows, it has ended: ",
                     JobStateName((*job)->state), ", ", (*job)->reason));
  }
  const bool predicts = descriptor.path(2) == kPredictFlight;
  if (predicts) {
    TFD_RETURN_IF_ERROR(DescribePredictions(**job));
  } else {
    TFD_ASSIGN_OR_RETURN(const Dataset* dataset,
                         RequireDataset(**job, descriptor.path(2)));
    if (dataset->complete) {
      return absl::FailedPreconditionError(
          absl::StrCat("dataset ", dataset->name, " of job ", (*job)->id,
                       " is complete: all its producers have committed"));
    }
  }
  if ((*job)->state != JobState::kRunning) {
    return absl::UnavailableError(
        absl::StrCat("job ", (*job)->id,
                     " is not running yet: ", JobStateName((*job)->state), ", ",
                     DescribeWait(**job, "", 0), "; try again"));
  }
  *info->mutable_flight_descriptor() = descriptor;
  info->set_total_records(-1);
  info->set_total_bytes(-1);
  return AddEndpoints(**job, predicts ? Role::kWorker : Role::kFeed, info);
}

// On the loop.
absl::Status Decide(const Context& context, const DatasetAction& action,
                    std::optional<bool>* published) {
  switch (action.kind) {
    case ActionKind::kBegin:
      return BeginProducer(context, action.key);
    case ActionKind::kCommit:
      if (action.batch.has_value()) {
        TFD_ASSIGN_OR_RETURN(
            *published,
            CommitBatch(context, action.key, *action.batch, action.partitions));
        return absl::OkStatus();
      }
      return CommitProducer(context, action.key, action.partitions);
    case ActionKind::kAbort:
      return AbortProducer(context, action.key);
    case ActionKind::kStatus:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

void AnswerAction(const Context& context, const DatasetAction& action,
                  std::optional<bool> published,
                  ReplyStream<flight::Result>& stream) {
  const absl::StatusOr<const Job*> job =
      RequireJob(context.state(), action.key.job);
  if (!job.ok()) return stream.Close(job.status());
  const absl::StatusOr<const Dataset*> dataset =
      RequireDataset(**job, action.key.dataset);
  if (!dataset.ok()) return stream.Close(dataset.status());
  flight::Result result;
  result.set_body(EncodeDatasetJson(**dataset, published));
  stream.Write(std::move(result));
  stream.Close(absl::OkStatus());
}

}  // namespace

// One GetFlightInfo until its job runs, has ended, or time is up.
class FlightService::Waiter
    : public JobWatcher,
      public std::enable_shared_from_this<FlightService::Waiter> {
 public:
  Waiter(FlightService* service, grpc::CallbackServerContext* context,
         const flight::FlightDescriptor& descriptor,
         flight::FlightInfo* response)
      : service_(service),
        call_(context),
        descriptor_(descriptor),
        response_(response),
        deadline_(std::min(service->dependencies_.clock->Now() + kLongestWait,
                           absl::FromChrono(context->deadline()) - kMargin)) {}

  grpc::ServerUnaryReactor* reactor() const { return call_.reactor(); }

  void OnJob(const JobSnapshot& job) override {
    if (HasEnded(*job) || job->state() == v1::RUNNING) Ask();
  }
  void OnTick(absl::Time now) override {
    if (now >= deadline_) Ask();
  }

  // Answers from the state, whatever it is.
  void Ask() {
    const absl::Status posted = service_->dependencies_.loop->Post(
        [self = shared_from_this()](const Context&) -> Answer {
          return [self](const Context& durable) { self->AnswerNow(durable); };
        });
    if (!posted.ok()) End(posted);
  }

 private:
  void AnswerNow(const Context& context) {
    if (answered_) return;
    answered_ = true;
    End(DescribeFlight(context.state(), descriptor_, response_));
  }
  void End(const absl::Status& status) {
    call_.Answer(status);
    service_->Forget(shared_from_this());
  }

  FlightService* const service_;
  UnaryCall call_;
  const flight::FlightDescriptor descriptor_;
  // Alive until the call is answered.
  flight::FlightInfo* const response_;
  const absl::Time deadline_;
  // The loop's.
  bool answered_ = false;
};

FlightService::FlightService(const ServiceDependencies& dependencies)
    : dependencies_(dependencies) {}

FlightService::~FlightService() { Stop(); }

void FlightService::Stop() {
  // Their destructors answer.
  std::set<std::shared_ptr<Waiter>> waiters;
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  waiters.swap(waiters_);
}

void FlightService::Forget(const std::shared_ptr<Waiter>& waiter) {
  absl::MutexLock lock(&mutex_);
  waiters_.erase(waiter);
}

grpc::ServerUnaryReactor* FlightService::GetFlightInfo(
    grpc::CallbackServerContext* context,
    const flight::FlightDescriptor* request, flight::FlightInfo* response) {
  const absl::Status status = CheckDescriptor(*request);
  if (!status.ok()) {
    UnaryCall call(context);
    call.Answer(status);
    return call.reactor();
  }
  auto waiter = std::make_shared<Waiter>(this, context, *request, response);
  grpc::ServerUnaryReactor* const reactor = waiter->reactor();
  {
    absl::MutexLock lock(&mutex_);
    // Dropped, it answers that the coordinator is stopping.
    if (stopped_) return reactor;
    waiters_.insert(waiter);
  }
  const std::string& id = request->path(1);
  dependencies_.board->Watch(id, waiter);
  const JobSnapshot job = dependencies_.board->FindJob(id);
  if (job == nullptr) {
    waiter->Ask();
  } else {
    waiter->OnJob(job);
  }
  return reactor;
}

grpc::ServerWriteReactor<flight::Result>* FlightService::DoAction(
    grpc::CallbackServerContext*, const flight::Action* request) {
  auto stream = ReplyStream<flight::Result>::Start();
  absl::StatusOr<DatasetAction> action =
      DecodeAction(request->type(), request->body());
  if (!action.ok()) {
    stream->Close(action.status());
    return stream.get();
  }
  const absl::Status posted = dependencies_.loop->Post(
      [stream, action = *std::move(action)](const Context& context) -> Answer {
        std::optional<bool> published;
        const absl::Status decided = Decide(context, action, &published);
        return [stream, action, decided, published](const Context& durable) {
          if (!decided.ok()) return stream->Close(decided);
          AnswerAction(durable, action, published, *stream);
        };
      });
  if (!posted.ok()) stream->Close(posted);
  return stream.get();
}

grpc::ServerWriteReactor<flight::ActionType>* FlightService::ListActions(
    grpc::CallbackServerContext*, const flight::Empty*) {
  auto stream = ReplyStream<flight::ActionType>::Start();
  for (const ActionHelp& help : AllActions()) {
    flight::ActionType type;
    type.set_type(help.name);
    type.set_description(help.description);
    stream->Write(std::move(type));
  }
  stream->Close(absl::OkStatus());
  return stream.get();
}

}  // namespace tfd::coordinator
