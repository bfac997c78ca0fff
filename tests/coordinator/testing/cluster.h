// A whole coordinator in this process, with agents and tasks that are played by
// the test over real gRPC on a Unix socket.
#ifndef TFD_TESTS_COORDINATOR_TESTING_CLUSTER_H_
#define TFD_TESTS_COORDINATOR_TESTING_CLUSTER_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/clock.h"
#include "common/net/channel.h"
#include "common/net/server.h"
#include "common/status.h"
#include "common/testing/temp_folder.h"
#include "daemon/coordinator/coordinator_process.h"
#include "tfd/v1/agent.grpc.pb.h"
#include "tfd/v1/coordinator.grpc.pb.h"
#include "tfd/v1/task.grpc.pb.h"

namespace tfd::coordinator::testing {

// How long a test waits for what must come.
inline constexpr absl::Duration kPatience = absl::Seconds(30);

// One side of a stream: messages that come in are kept until they are asked
// for. Thread-safe.
template <typename Out, typename In>
class StreamClient {
 public:
  using Stream = grpc::ClientReaderWriter<Out, In>;

  void Run(std::unique_ptr<grpc::ClientContext> context,
           std::unique_ptr<Stream> stream) {
    context_ = std::move(context);
    stream_ = std::move(stream);
    reader_ = std::thread([this] {
      In message;
      while (stream_->Read(&message)) {
        absl::MutexLock lock(&mutex_);
        inbox_.push_back(message);
      }
      const grpc::Status status = stream_->Finish();
      absl::MutexLock lock(&mutex_);
      end_ = FromGrpc(status);
    });
  }
  ~StreamClient() {
    if (context_ != nullptr) context_->TryCancel();
    if (reader_.joinable()) reader_.join();
  }

  void Send(const Out& message) { stream_->Write(message); }
  void WritesDone() { stream_->WritesDone(); }

  // The next message that `wanted` says yes to; those before it are dropped.
  // Nothing where none comes.
  std::optional<In> Next(const std::function<bool(const In&)>& wanted) {
    absl::MutexLock lock(&mutex_);
    const absl::Time deadline = absl::Now() + kPatience;
    const auto has_news = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !inbox_.empty() || end_.has_value();
    };
    while (mutex_.AwaitWithDeadline(absl::Condition(&has_news), deadline)) {
      if (inbox_.empty()) return std::nullopt;
      In message = std::move(inbox_.front());
      inbox_.pop_front();
      if (wanted(message)) return message;
    }
    return std::nullopt;
  }

  // How the stream ended; DeadlineExceeded where it did not.
  absl::Status End() {
    absl::MutexLock lock(&mutex_);
    const auto has_ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return end_.has_value();
    };
    if (mutex_.AwaitWithTimeout(absl::Condition(&has_ended), kPatience)) {
      return *end_;
    }
    return absl::DeadlineExceededError("the stream goes on");
  }

 private:
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<Stream> stream_;
  std::thread reader_;
  absl::Mutex mutex_;
  std::deque<In> inbox_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
};

// A coordinator on a state folder of its own; can be destroyed and rebuilt.
class TestCoordinator {
 public:
  TestCoordinator();
  void Start();
  void Stop() { process_ = nullptr; }
  void Restart() {
    Stop();
    Start();
  }

  const std::string& target() const { return target_; }
  v1::Coordinator::Stub& stub() { return *stub_; }
  std::shared_ptr<grpc::Channel> channel() { return channel_; }
  // Moves the coordinator's clock; returns when it has looked at it.
  void Advance(absl::Duration duration);

  // Shorthands; the errors as they came.
  absl::StatusOr<v1::Job> Submit(const std::string& id,
                                 const v1::JobSpec& spec);
  absl::StatusOr<v1::Job> Get(const std::string& id);
  absl::StatusOr<v1::Job> Cancel(const std::string& id,
                                 const std::string& reason);
  // Watches until `wanted` says yes; the last state seen where it never does.
  v1::Job WaitFor(const std::string& id,
                  const std::function<bool(const v1::Job&)>& wanted);
  v1::Job WaitForState(const std::string& id, v1::JobState state);
  v1::ListNodesResponse Nodes();

 private:
  tfd::testing::TempFolder folder_;
  FakeClock clock_;
  std::unique_ptr<CoordinatorProcess> process_;
  std::string target_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Coordinator::Stub> stub_;
};

// A spec that is complete: linear on IDX files that nobody opens here.
v1::JobSpec Spec(int workers, int evaluators);
v1::JobSpec PushedSpec(int producers);

// Plays an agent; serves canned logs.
class FakeAgent : private v1::Agent::Service {
 public:
  FakeAgent(const std::string& node, const std::string& incarnation);

  // Says hello on a new stream, with these tasks.
  void Attach(const TestCoordinator& coordinator,
              const std::vector<v1::TaskReport>& tasks = {});
  // The desired state, once `wanted` says yes to it.
  v1::DesiredState WaitDesired(
      const std::function<bool(const v1::DesiredState&)>& wanted);
  v1::DesiredState WaitTasks(size_t count);
  void Started(const v1::TaskLaunch& launch, int64_t pid);
  void Exited(const v1::TaskLaunch& launch, int code,
              const std::string& message = "");
  absl::Status End() { return stream_->End(); }
  std::string WaitWelcome();
  uint32_t protocol_version = 1;
  // What ReadTaskLogs says of each task before it ends.
  std::map<std::string, std::vector<std::string>> logs;

 private:
  grpc::Status ReadTaskLogs(grpc::ServerContext* context,
                            const v1::ReadTaskLogsRequest* request,
                            grpc::ServerWriter<v1::LogLines>* writer) override;

  const std::string node_;
  const std::string incarnation_;
  std::unique_ptr<net::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::AgentLink::Stub> stub_;
  std::unique_ptr<StreamClient<v1::AgentMessage, v1::AgentCommand>> stream_;
};

// A report of a running task, for a hello.
v1::TaskReport Running(const v1::TaskLaunch& launch);

// Plays a task.
class FakeTask {
 public:
  FakeTask(const v1::TaskLaunch& launch, uint64_t incarnation);

  void Attach(const TestCoordinator& coordinator);
  void Send(const v1::TaskMessage& message) { stream_->Send(message); }
  // The next command of that kind.
  std::optional<v1::TaskCommand> Wait(v1::TaskCommand::CommandCase kind);
  absl::Status End() { return stream_->End(); }
  std::string token;
  v1::TaskHello hello;

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::TaskLink::Stub> stub_;
  std::unique_ptr<StreamClient<v1::TaskMessage, v1::TaskCommand>> stream_;
};

}  // namespace tfd::coordinator::testing

#endif  // TFD_TESTS_COORDINATOR_TESTING_CLUSTER_H_
