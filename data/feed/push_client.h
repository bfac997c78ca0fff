// A producer's calls, as docs/feed.md has them: actions at the coordinator, and
// a DoPut for each try to push a partition.
#ifndef TFD_DATA_FEED_PUSH_CLIENT_H_
#define TFD_DATA_FEED_PUSH_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace arrow {
class RecordBatch;
class Schema;
}  // namespace arrow

namespace tfd::data {

struct PushTarget {
  // The coordinator's HOST:PORT or unix:PATH.
  std::string coordinator;
  std::string job;
  std::string dataset;
  std::string producer;
};

// One partition, in memory until it is sealed.
struct PartitionToPush {
  std::string name;
  std::string attempt;
  std::shared_ptr<arrow::Schema> schema;
  std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
  int64_t rows = 0;
};

// Where to push, and the token that lets one do so.
struct PushEndpoint {
  std::string target;
  std::string token;
};

// Thread-compatible.
class PushClient {
 public:
  explicit PushClient(PushTarget target);

  // begin, commit or status; gives the state of the dataset. `more` is added to
  // the body.
  absl::StatusOr<nlohmann::json> Act(
      const std::string& kind,
      const nlohmann::json& more = nlohmann::json::object()) const;
  // The nodes of the job. Waits some time for it to run; Unavailable says what
  // it waits for.
  absl::StatusOr<std::vector<PushEndpoint>> Endpoints() const;

  // Pushes what the node does not have yet of the partition, in messages of
  // about a MiB, and has it sealed; AlreadyExists where another attempt is.
  // `sent` is told of each row count that has gone out; its error ends the
  // stream, which then seals nothing. DeadlineExceeded after `timeout`.
  absl::Status Put(const PushEndpoint& endpoint,
                   const PartitionToPush& partition, absl::Duration timeout,
                   const std::function<absl::Status(int64_t rows)>& sent) const;

  const PushTarget& target() const { return target_; }

 private:
  const PushTarget target_;
};

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_PUSH_CLIENT_H_
