#include "client/coordinator_client.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/net/channel.h"
#include "common/random.h"
#include "common/status.h"
#include "tfd/v1/coordinator.grpc.pb.h"

namespace tfd::client {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(20);
constexpr absl::Duration kRetryPause = absl::Milliseconds(200);
// Of a submission: one more, for an answer that was lost.
constexpr int kSubmitAttempts = 2;

}  // namespace

struct CoordinatorClient::Stub {
  std::unique_ptr<v1::Coordinator::Stub> rpc;
};

struct Canceller::State {
  absl::Mutex mutex;
  bool cancelled ABSL_GUARDED_BY(mutex) = false;
  grpc::ClientContext* context ABSL_GUARDED_BY(mutex) = nullptr;

  // False where it is cancelled already.
  bool Enter(grpc::ClientContext* new_context) {
    absl::MutexLock lock(&mutex);
    if (cancelled) return false;
    context = new_context;
    return true;
  }
  void Leave() {
    absl::MutexLock lock(&mutex);
    context = nullptr;
  }
  // True where it was cancelled while waiting.
  bool WaitFor(absl::Duration duration) {
    absl::MutexLock lock(&mutex);
    return mutex.AwaitWithTimeout(absl::Condition(&cancelled), duration);
  }
};

Canceller::Canceller() : state_(std::make_shared<State>()) {}
Canceller::~Canceller() = default;

void Canceller::Cancel() {
  absl::MutexLock lock(&state_->mutex);
  state_->cancelled = true;
  if (state_->context != nullptr) state_->context->TryCancel();
}

bool Canceller::cancelled() const {
  absl::MutexLock lock(&state_->mutex);
  return state_->cancelled;
}

CoordinatorClient::CoordinatorClient(std::string address,
                                     absl::Duration patience)
    : address_(std::move(address)),
      patience_(patience),
      stub_(std::make_unique<Stub>()) {
  stub_->rpc = v1::Coordinator::NewStub(net::Dial(address_));
}

CoordinatorClient::~CoordinatorClient() = default;

absl::Status CoordinatorClient::Explain(const absl::Status& status) const {
  if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) {
    return status;
  }
  return absl::UnavailableError(absl::StrCat(
      "no coordinator answers at ", address_, " (", status.message(),
      "); is it running? `tfd up` starts one on this machine; --coordinator "
      "HOST:PORT or TFD_COORDINATOR names another"));
}

namespace {

// One unary call with its deadline.
template <typename Request, typename Response>
absl::Status Call(v1::Coordinator::Stub& stub,
                  grpc::Status (v1::Coordinator::Stub::*method)(
                      grpc::ClientContext*, const Request&, Response*),
                  const Request& request, Response* response) {
  grpc::ClientContext context;
  net::SetTimeout(context, kCallTimeout);
  return FromGrpc((stub.*method)(&context, request, response));
}

}  // namespace

absl::StatusOr<v1::Job> CoordinatorClient::Submit(const v1::JobSpec& spec,
                                                  const std::string& id,
                                                  const std::string& owner) {
  v1::SubmitJobRequest request;
  // Made here, so that a submission whose answer was lost can be repeated.
  request.set_id(id.empty()
                     ? absl::StrCat(spec.name().empty() ? "job" : spec.name(),
                                    "-", RandomId())
                     : id);
  *request.mutable_spec() = spec;
  request.set_owner(owner);
  v1::Job job;
  absl::Status status;
  for (int attempt = 0; attempt < kSubmitAttempts; ++attempt) {
    if (attempt > 0) absl::SleepFor(kRetryPause);
    status =
        Call(*stub_->rpc, &v1::Coordinator::Stub::SubmitJob, request, &job);
    if (status.ok()) return job;
    if (!absl::IsUnavailable(status)) break;
  }
  if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) {
    return status;
  }
  // It may have been taken in.
  const absl::Status explained = Explain(status);
  return absl::Status(
      explained.code(),
      absl::StrCat(explained.message(), "; submit it with --id ", request.id(),
                   " then, so that it is not there twice"));
}

absl::StatusOr<v1::Job> CoordinatorClient::Get(const std::string& id) {
  v1::GetJobRequest request;
  request.set_id(id);
  v1::Job job;
  TFD_RETURN_IF_ERROR(Explain(
      Call(*stub_->rpc, &v1::Coordinator::Stub::GetJob, request, &job)));
  return job;
}

absl::StatusOr<std::vector<v1::Job>> CoordinatorClient::List(bool active_only) {
  v1::ListJobsRequest request;
  request.set_active_only(active_only);
  v1::ListJobsResponse response;
  TFD_RETURN_IF_ERROR(Explain(
      Call(*stub_->rpc, &v1::Coordinator::Stub::ListJobs, request, &response)));
  return std::vector<v1::Job>(response.jobs().begin(), response.jobs().end());
}

absl::StatusOr<v1::Job> CoordinatorClient::Cancel(const std::string& id,
                                                  const std::string& reason) {
  v1::CancelJobRequest request;
  request.set_id(id);
  request.set_reason(reason);
  v1::Job job;
  TFD_RETURN_IF_ERROR(Explain(
      Call(*stub_->rpc, &v1::Coordinator::Stub::CancelJob, request, &job)));
  return job;
}

absl::StatusOr<std::vector<v1::Node>> CoordinatorClient::Nodes() {
  v1::ListNodesResponse response;
  TFD_RETURN_IF_ERROR(
      Explain(Call(*stub_->rpc, &v1::Coordinator::Stub::ListNodes,
                   v1::ListNodesRequest(), &response)));
  return std::vector<v1::Node>(response.nodes().begin(),
                               response.nodes().end());
}

// Runs `attempt` (context → (status, made progress)) until it ends for good:
// while the coordinator is away, up to the client's patience.
template <typename Attempt>
absl::Status CoordinatorClient::KeepTrying(Canceller& canceller,
                                           const Attempt& attempt) {
  absl::Time give_up = absl::Now() + patience_;
  while (true) {
    grpc::ClientContext context;
    if (!canceller.state_->Enter(&context)) {
      return absl::CancelledError("cancelled");
    }
    auto [status, progress] = attempt(&context);
    canceller.state_->Leave();
    if (!absl::IsUnavailable(status)) return status;
    if (progress) give_up = absl::Now() + patience_;
    if (absl::Now() > give_up) return Explain(status);
    if (canceller.state_->WaitFor(kRetryPause)) {
      return absl::CancelledError("cancelled");
    }
  }
}

absl::StatusOr<v1::Job> CoordinatorClient::Watch(
    const std::string& id, const std::function<void(const v1::Job&)>& on_job,
    Canceller& canceller) {
  v1::WatchJobRequest request;
  request.set_id(id);
  v1::Job last;
  TFD_RETURN_IF_ERROR(KeepTrying(canceller, [&](grpc::ClientContext* context) {
    auto reader = stub_->rpc->WatchJob(context, request);
    bool progress = false;
    v1::Job job;
    while (reader->Read(&job)) {
      progress = true;
      on_job(job);
      last = std::move(job);
      job.Clear();
    }
    return std::make_pair(FromGrpc(reader->Finish()), progress);
  }));
  return last;
}

absl::Status CoordinatorClient::Events(
    const std::string& id, bool follow,
    const std::function<void(const v1::Event&)>& on_event,
    Canceller& canceller) {
  v1::ReadEventsRequest request;
  request.set_id(id);
  request.set_follow(follow);
  return KeepTrying(canceller, [&](grpc::ClientContext* context) {
    auto reader = stub_->rpc->ReadEvents(context, request);
    bool progress = false;
    v1::Event event;
    while (reader->Read(&event)) {
      progress = true;
      on_event(event);
      // A stream that breaks goes on behind what was seen.
      request.set_from_sequence(event.sequence() + 1);
    }
    return std::make_pair(FromGrpc(reader->Finish()), progress);
  });
}

absl::Status CoordinatorClient::Logs(const LogRequest& request,
                                     const OnLines& on_lines,
                                     Canceller& canceller) {
  v1::ReadLogsRequest message;
  message.set_id(request.id);
  message.set_task(request.task);
  message.set_follow(request.follow);
  message.set_tail(request.tail);
  grpc::ClientContext context;
  if (!canceller.state_->Enter(&context)) {
    return absl::CancelledError("cancelled");
  }
  auto reader = stub_->rpc->ReadLogs(&context, message);
  v1::LogLines lines;
  while (reader->Read(&lines)) on_lines(lines.task(), lines.text());
  absl::Status status = FromGrpc(reader->Finish());
  canceller.state_->Leave();
  return Explain(status);
}

}  // namespace tfd::client
