#include "daemon/coordinator/service/log_relay.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "common/net/channel.h"
#include "common/net/endpoint.h"
#include "common/status.h"
#include "daemon/coordinator/codec/value_codec.h"
#include "daemon/coordinator/core/lifecycle.h"
#include "daemon/coordinator/decide/jobs.h"

namespace tfd::coordinator {
namespace {

// How long an agent may take to begin to answer, or, without follow, to end.
constexpr absl::Duration kReadTimeout = absl::Seconds(60);

// Connections kept for the next call; agents that restart leave old ones.
constexpr size_t kMaxConnections = 256;

// Where one task's logs are.
struct LogSource {
  std::string task;
  std::string node;
  v1::Endpoint endpoint;
  std::string token;
  // Empty, or why there is no use in asking.
  std::string unreachable;
};

std::vector<LogSource> SourcesOf(const State& state, const Job& job,
                                 const std::string& only) {
  std::vector<LogSource> sources;
  for (const Task& task : job.tasks) {
    if (task.node.empty() || (!only.empty() && TaskName(task) != only)) {
      continue;
    }
    const Node& node = state.nodes.at(task.node);
    sources.push_back({TaskName(task), task.node, Encode(node.endpoint),
                       node.log_token, node.gone ? node.reason : ""});
  }
  return sources;
}

class LogRelay;

// One task's logs at one agent. Deletes itself when the call has ended.
class LogReader : public grpc::ClientReadReactor<v1::LogLines> {
 public:
  LogReader(std::shared_ptr<LogRelay> relay, const LogSource& source,
            const v1::ReadTaskLogsRequest& request);
  void Start(AgentConnections* agents, const std::string& target);
  void Cancel() { context_.TryCancel(); }
  // What was read last has left, or never will. Once per read.
  void ReadNext() {
    if (waiting_.exchange(false)) StartRead(&lines_);
  }
  const LogSource& source() const { return source_; }

 private:
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  const std::shared_ptr<LogRelay> relay_;
  const LogSource source_;
  const v1::ReadTaskLogsRequest request_;
  grpc::ClientContext context_;
  AgentConnections* agents_ = nullptr;
  std::shared_ptr<v1::Agent::Stub> stub_;
  v1::LogLines lines_;
  // For what was read to leave.
  std::atomic<bool> waiting_{false};
};

class LogRelay : public JobWatcher,
                 public std::enable_shared_from_this<LogRelay> {
 public:
  LogRelay(const RelayDependencies& dependencies, v1::ReadLogsRequest request,
           ReplyStream<v1::LogLines>::Pointer stream)
      : dependencies_(dependencies),
        request_(std::move(request)),
        stream_(std::move(stream)) {}

  // Asks the loop where the logs are.
  void Look();
  void OnJob(const JobSnapshot& job) override;
  void OnTick(absl::Time) override {}
  // The caller has gone.
  void OnCallEnded();

  void TakeLines(LogReader* reader, v1::LogLines lines);
  void OnReaderDone(LogReader* reader, const absl::Status& status);

 private:
  void Found(const Context& context);
  void StartReaders(const std::string& job,
                    const std::vector<LogSource>& sources);
  void CloseIfDone();

  const RelayDependencies dependencies_;
  const v1::ReadLogsRequest request_;
  const ReplyStream<v1::LogLines>::Pointer stream_;

  absl::Mutex mutex_;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  // All that are running; they delete themselves.
  std::vector<LogReader*> readers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> failures_ ABSL_GUARDED_BY(mutex_);
};

LogReader::LogReader(std::shared_ptr<LogRelay> relay, const LogSource& source,
                     const v1::ReadTaskLogsRequest& request)
    : relay_(std::move(relay)), source_(source), request_(request) {}

void LogReader::Start(AgentConnections* agents, const std::string& target) {
  agents_ = agents;
  stub_ = agents->BeginCall(target);
  net::AddToken(context_, source_.token);
  if (!request_.follow()) net::SetTimeout(context_, kReadTimeout);
  stub_->async()->ReadTaskLogs(&context_, &request_, this);
  StartRead(&lines_);
  // Reads are started by others, too: when a message has left.
  AddHold();
  StartCall();
}

void LogReader::OnReadDone(bool ok) {
  if (!ok) {
    RemoveHold();
    return;
  }
  lines_.set_task(source_.task);
  waiting_ = true;
  relay_->TakeLines(this, std::move(lines_));
}

void LogReader::OnDone(const grpc::Status& status) {
  relay_->OnReaderDone(this, FromGrpc(status));
  AgentConnections* const agents = agents_;
  delete this;
  agents->EndCall();
}

void LogRelay::Look() {
  const absl::Status posted = dependencies_.loop->Post(
      [self = shared_from_this()](const Context&) -> Answer {
        return [self](const Context& durable) { self->Found(durable); };
      });
  if (!posted.ok()) stream_->Close(posted);
}

void LogRelay::OnJob(const JobSnapshot&) {
  {
    absl::MutexLock lock(&mutex_);
    if (started_ || ended_) return;
  }
  Look();
}

void LogRelay::Found(const Context& context) {
  const absl::StatusOr<const Job*> job =
      RequireJob(context.state(), request_.id());
  if (!job.ok()) return stream_->Close(job.status());
  if (!request_.task().empty() && (*job)->generation > 0 &&
      FindTask(**job, request_.task()) == nullptr) {
    const std::string names = absl::StrJoin(
        (*job)->tasks, ", ",
        [](std::string* out, const Task& t) { out->append(TaskName(t)); });
    return stream_->Close(absl::NotFoundError(
        absl::StrCat("job ", request_.id(), " has no task \"", request_.task(),
                     "\"; it has ", names)));
  }
  const std::vector<LogSource> sources =
      SourcesOf(context.state(), **job, request_.task());
  const bool may_come = request_.follow() && !IsEnd((*job)->state);
  if (sources.empty() && may_come) return;
  StartReaders((*job)->id, sources);
}

void LogRelay::StartReaders(const std::string& job,
                            const std::vector<LogSource>& sources) {
  std::vector<std::pair<LogReader*, std::string>> starting;
  {
    absl::MutexLock lock(&mutex_);
    if (started_ || ended_) return;
    started_ = true;
    for (const LogSource& source : sources) {
      const absl::StatusOr<std::string> target =
          net::DialTarget(source.endpoint);
      if (!source.unreachable.empty() || !target.ok()) {
        failures_.push_back(absl::StrCat(
            source.task, " on ", source.node, ": ",
            source.unreachable.empty() ? std::string(target.status().message())
                                       : source.unreachable));
        continue;
      }
      v1::ReadTaskLogsRequest request;
      request.set_job(job);
      request.set_task(source.task);
      request.set_follow(request_.follow());
      request.set_tail(request_.tail());
      auto* reader = new LogReader(shared_from_this(), source, request);
      readers_.push_back(reader);
      starting.emplace_back(reader, *target);
    }
  }
  for (auto& [reader, target] : starting) {
    reader->Start(dependencies_.agents, target);
  }
  if (starting.empty()) CloseIfDone();
}

void LogRelay::TakeLines(LogReader* reader, v1::LogLines lines) {
  // A call that ends meanwhile drops the line, and OnCallEnded reads on.
  stream_->Write(std::move(lines), [reader] { reader->ReadNext(); });
  absl::MutexLock lock(&mutex_);
  if (ended_) reader->ReadNext();
}

void LogRelay::OnReaderDone(LogReader* reader, const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    readers_.erase(std::find(readers_.begin(), readers_.end(), reader));
    if (!status.ok()) {
      failures_.push_back(absl::StrCat(reader->source().task, " on ",
                                       reader->source().node, ": ",
                                       status.message()));
    }
  }
  CloseIfDone();
}

void LogRelay::CloseIfDone() {
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    if (!readers_.empty()) return;
    if (!failures_.empty()) {
      status = absl::UnavailableError(
          absl::StrCat("the logs of some tasks could not be read: ",
                       absl::StrJoin(failures_, "; ")));
    }
  }
  stream_->Close(status);
}

void LogRelay::OnCallEnded() {
  absl::MutexLock lock(&mutex_);
  ended_ = true;
  for (LogReader* reader : readers_) {
    reader->Cancel();
    reader->ReadNext();
  }
}

}  // namespace

AgentConnections::~AgentConnections() {
  absl::MutexLock lock(&mutex_);
  const auto no_calls = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return calls_ == 0;
  };
  // Each was cancelled when its caller's call ended.
  mutex_.Await(absl::Condition(&no_calls));
}

std::shared_ptr<v1::Agent::Stub> AgentConnections::BeginCall(
    const std::string& target) {
  absl::MutexLock lock(&mutex_);
  ++calls_;
  if (stubs_.size() >= kMaxConnections) {
    for (auto it = stubs_.begin(); it != stubs_.end();) {
      it = it->second.use_count() == 1 ? stubs_.erase(it) : std::next(it);
    }
  }
  std::shared_ptr<v1::Agent::Stub>& stub = stubs_[target];
  if (stub == nullptr) stub = v1::Agent::NewStub(net::Dial(target));
  return stub;
}

void AgentConnections::EndCall() {
  absl::MutexLock lock(&mutex_);
  --calls_;
}

void RelayLogs(const RelayDependencies& dependencies,
               const v1::ReadLogsRequest& request,
               const ReplyStream<v1::LogLines>::Pointer& stream) {
  auto relay = std::make_shared<LogRelay>(dependencies, request, stream);
  dependencies.board->Watch(request.id(), relay);
  stream->OnEnd([relay] { relay->OnCallEnded(); });
  relay->Look();
}

}  // namespace tfd::coordinator
