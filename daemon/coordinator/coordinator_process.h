// The composition root of tfd-coordinator: owns everything, wires it up, stops
// it in order.
#ifndef TFD_DAEMON_COORDINATOR_COORDINATOR_PROCESS_H_
#define TFD_DAEMON_COORDINATOR_COORDINATOR_PROCESS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "daemon/coordinator/loop/event_loop.h"
#include "tfd/v1/job.pb.h"

namespace tfd::coordinator {

struct CoordinatorOptions {
  // Where the journal is; created where it is not there.
  std::string state_folder;
  // host:port, port 0 lets the system choose; empty: no TCP.
  std::string listen = "127.0.0.1:7070";
  // The path of a Unix socket; empty: none.
  std::string unix_path;
  // Written when it is ready: "unix:PATH" (where there is one), "HOST:PORT".
  std::string address_file;
  LoopOptions loop;
};

// Threads: the event loop, the journal's writer, gRPC's own. Thread-compatible.
class CoordinatorProcess {
 public:
  struct Dependencies {
    const Clock* clock = Clock::Real();
    // Called once, from a thread of its own, when it cannot go on; Stop must
    // follow.
    std::function<void(const absl::Status&)> on_fatal = [](const auto&) {};
  };

  // Recovers, listens, writes the address file. Errors name the folder, the
  // port or the socket.
  static absl::StatusOr<std::unique_ptr<CoordinatorProcess>> Start(
      const CoordinatorOptions& options, Dependencies dependencies);
  ~CoordinatorProcess();

  const v1::Endpoint& endpoint() const;
  EventLoop& loop();
  // Ends every call. Tasks and agents go on and come back to the next one.
  void Stop();

 private:
  struct Parts;
  explicit CoordinatorProcess(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_COORDINATOR_PROCESS_H_
