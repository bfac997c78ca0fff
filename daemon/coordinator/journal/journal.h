// Where events become durable. SQLite here; the interface is what etcd for
// several coordinators would also give: asynchronous, and fenced.
#ifndef TFD_DAEMON_COORDINATOR_JOURNAL_JOURNAL_H_
#define TFD_DAEMON_COORDINATOR_JOURNAL_JOURNAL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tfd::coordinator {

// What a journal holds at the start of a term.
struct Recovery {
  // Of this writer; every earlier one is fenced off.
  uint64_t term = 0;
  // Random, made with the journal.
  std::string cluster_id;
  // The newest snapshot, and up to which event; empty where there is none.
  uint64_t snapshot_index = 0;
  std::string snapshot;
  // The events after it, in order, without gaps.
  std::vector<std::string> events;
};

// Thread-safe.
class Journal {
 public:
  using Done = std::function<void(absl::Status)>;

  virtual ~Journal() = default;

  // Begins a new term and reads everything. Once, before Append.
  virtual absl::StatusOr<Recovery> Recover() = 0;

  // Writes events (encoded) behind the one with `expected_index`, all or none.
  // `done` is called once, on the journal's thread: OK when they are durable;
  // FailedPrecondition when the term is not the newest or the index not the
  // last (another writer is there: the caller must end); else the disk's
  // trouble. Appends are durable in the order of their calls.
  virtual void Append(uint64_t term, uint64_t expected_index,
                      std::vector<std::string> events, Done done) = 0;

  // Replaces the events up to `index` by a snapshot of what they led to.
  virtual void Compact(uint64_t term, uint64_t index, std::string snapshot,
                       Done done) = 0;
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_JOURNAL_JOURNAL_H_
