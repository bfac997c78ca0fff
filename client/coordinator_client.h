// The client library: what the tfd command (and other C++ programs) ask a
// coordinator, with deadlines, reconnects and errors in words.
#ifndef TFD_CLIENT_COORDINATOR_CLIENT_H_
#define TFD_CLIENT_COORDINATOR_CLIENT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tfd/v1/job.pb.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::client {

// Set from another thread to end a stream. Thread-safe.
class Canceller {
 public:
  Canceller();
  ~Canceller();
  // The stream in progress, and every later one, ends with Cancelled.
  void Cancel();
  bool cancelled() const;

 private:
  friend class CoordinatorClient;
  struct State;
  std::shared_ptr<State> state_;
};

// Thread-safe. A coordinator that is not there gives Unavailable, with the
// address and what to do about it. Streams go on by themselves over a
// coordinator's restart, for up to `patience`.
class CoordinatorClient {
 public:
  // `address` as net::ParseAddress gives it.
  explicit CoordinatorClient(std::string address,
                             absl::Duration patience = absl::Seconds(60));
  ~CoordinatorClient();

  // The same `id` and spec again give the same job; empty: the spec's name and
  // a random suffix. Asks once more where the answer is lost.
  absl::StatusOr<v1::Job> Submit(const v1::JobSpec& spec, const std::string& id,
                                 const std::string& owner);
  absl::StatusOr<v1::Job> Get(const std::string& id);
  absl::StatusOr<std::vector<v1::Job>> List(bool active_only);
  absl::StatusOr<v1::Job> Cancel(const std::string& id,
                                 const std::string& reason);
  absl::StatusOr<std::vector<v1::Node>> Nodes();

  // Calls `on_job` with every change until the job has ended; gives the job as
  // it ended.
  absl::StatusOr<v1::Job> Watch(
      const std::string& id, const std::function<void(const v1::Job&)>& on_job,
      Canceller& canceller);

  // Calls `on_event` with every event; with follow until the job has ended.
  absl::Status Events(const std::string& id, bool follow,
                      const std::function<void(const v1::Event&)>& on_event,
                      Canceller& canceller);

  struct LogRequest {
    std::string id;
    // One task, or all where empty.
    std::string task;
    bool follow = false;
    // Only the last so many lines of each; 0: all.
    int tail = 0;
  };
  using OnLines =
      std::function<void(const std::string& task, const std::string& text)>;
  // A log stream that breaks is not resumed: Unavailable.
  absl::Status Logs(const LogRequest& request, const OnLines& on_lines,
                    Canceller& canceller);

 private:
  struct Stub;
  absl::Status Explain(const absl::Status& status) const;
  template <typename Attempt>
  absl::Status KeepTrying(Canceller& canceller, const Attempt& attempt);

  std::string address_;
  absl::Duration patience_;
  std::unique_ptr<Stub> stub_;
};

}  // namespace tfd::client

#endif  // TFD_CLIENT_COORDINATOR_CLIENT_H_
