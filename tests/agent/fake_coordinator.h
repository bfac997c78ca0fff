// A coordinator of a few lines, over real gRPC.
#ifndef TFD_TESTS_AGENT_FAKE_COORDINATOR_H_
#define TFD_TESTS_AGENT_FAKE_COORDINATOR_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/net/server.h"
#include "tfd/v1/agent.grpc.pb.h"

namespace tfd::agent {

// Welcomes every agent, sends it what is desired whenever that changes, and
// writes down all it hears. Thread-safe.
class FakeCoordinator final : public v1::AgentLink::Service {
 public:
  explicit FakeCoordinator(std::string unix_path,
                           std::string cluster_id = "c1");
  ~FakeCoordinator() override { Stop(); }

  void Start();
  // Streams break.
  void Stop();

  void SetDesired(v1::DesiredState desired);
  // Hellos are answered with this error; OK again welcomes.
  void Refuse(const grpc::Status& status);

  std::vector<v1::AgentHello> Hellos() const;
  int Heartbeats() const;
  // Of hellos too, in the order in which they came.
  std::vector<v1::TaskReport> Reports() const;
  // The newest report of the task.
  std::optional<v1::TaskReport> Newest(const std::string& task) const;

  grpc::Status Attach(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::AgentCommand, v1::AgentMessage>* stream)
      override;

 private:
  void Hear(const v1::AgentMessage& message);

  const std::string unix_path_;
  const std::string cluster_id_;
  std::unique_ptr<net::Server> server_;

  mutable absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int version_ ABSL_GUARDED_BY(mutex_) = 0;
  v1::DesiredState desired_ ABSL_GUARDED_BY(mutex_);
  grpc::Status refusal_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::AgentHello> hellos_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::TaskReport> reports_ ABSL_GUARDED_BY(mutex_);
  int heartbeats_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tfd::agent

#endif  // TFD_TESTS_AGENT_FAKE_COORDINATOR_H_
