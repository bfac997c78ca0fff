// The agent's stream to its coordinator (AgentLink.Attach), kept up for ever.
#ifndef TFD_DAEMON_AGENT_AGENT_LINK_H_
#define TFD_DAEMON_AGENT_AGENT_LINK_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tfd/v1/agent.pb.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace tfd::agent {

struct AgentLinkOptions {
  // As Dial takes it.
  std::string coordinator;
  // The hello with all that is true now; called for every connect.
  std::function<v1::AgentHello()> hello;
  // Both on the link's reading thread, in the order in which they came. Must
  // not block.
  std::function<void(const v1::AgentWelcome&)> on_welcome;
  std::function<void(v1::DesiredState)> on_desired;
  // Before the first try again after a failure; doubled up to the longest.
  absl::Duration first_retry = absl::Milliseconds(100);
  absl::Duration longest_retry = absl::Seconds(2);
};

// One thread ("link") connects and writes, a second one, as long as there is a
// stream, reads. What is reported while there is no stream is in the next
// hello. Thread-safe.
class AgentLink {
 public:
  explicit AgentLink(AgentLinkOptions options);
  // As Stop(0).
  ~AgentLink();

  // Once. Reports before it are left to the hello.
  void Start();
  // Never blocks on the network.
  void Report(const v1::TaskReport& report);
  // Gives what was reported `flush` to leave, then ends the stream.
  void Stop(absl::Duration flush);

 private:
  void Run();
  // From connecting to the end of the stream.
  absl::Status Connect(grpc::Channel& channel);
  template <typename Stream>
  void WriteUntilEnd(Stream& stream);
  template <typename Stream>
  absl::Status ReadUntilEnd(Stream& stream);
  absl::Status Take(v1::AgentCommand command, bool& welcomed);
  void SayLost(const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const AgentLinkOptions options_;
  // The link's thread only: whether the loss has been said.
  bool said_lost_ = false;

  absl::Mutex mutex_;
  std::deque<v1::TaskReport> reports_ ABSL_GUARDED_BY(mutex_);
  // The stream that is there.
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool welcomed_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Duration heartbeat_ ABSL_GUARDED_BY(mutex_) = absl::Seconds(1);

  std::thread thread_;
};

}  // namespace tfd::agent

#endif  // TFD_DAEMON_AGENT_AGENT_LINK_H_
