// What decisions are made from: the state, what is known and not journaled, the
// time. The files of this folder each turn one kind of command into events;
// they neither block nor know who asked.
//
// Event-loop only, all of it.
#ifndef TFD_DAEMON_COORDINATOR_DECIDE_CONTEXT_H_
#define TFD_DAEMON_COORDINATOR_DECIDE_CONTEXT_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/coordinator/core/event.h"
#include "daemon/coordinator/core/ledger.h"
#include "daemon/coordinator/core/state.h"
#include "daemon/coordinator/decide/metrics_store.h"
#include "daemon/coordinator/policy/liveness.h"

namespace tfd::coordinator {

struct Terms {
  LeaseTerms lease;
  // A gang whose tasks have not all said hello by then after its placement has
  // failed.
  absl::Duration start_deadline = absl::Seconds(60);
  // Processes of an ended job that nobody saw end are given up after this.
  absl::Duration stop_grace = absl::Seconds(30);
};

// A shard's part of a checkpoint, as its parameter server reported it.
struct ShardFile {
  uint32_t shard = 0;
  std::string file;
  uint64_t size_bytes = 0;
  uint32_t crc32c = 0;
};

// The parts of a checkpoint that are there.
struct SavedShards {
  // How many there must be.
  uint32_t needed = 0;
  std::map<uint32_t, ShardFile> files;
  bool complete() const { return files.size() == needed; }
};

struct JobRuntime {
  // By step; dropped once the step is committed. Tasks say it again after a
  // reconnect.
  std::map<int64_t, SavedShards> shards_saved;
  // Why it waits for a place, by the last look at the queue.
  std::string queue_reason;
  // Of each task that has ended and whose process is not known to have: since
  // when.
  std::map<std::string, absl::Time> stopping;
  // When each task was last heard of.
  std::map<std::string, absl::Time> tasks_seen;
};

// Known and not journaled.
struct Runtime {
  std::map<std::string, JobRuntime> jobs;
  MetricsStore metrics;
  // When each agent was last heard of.
  std::map<std::string, absl::Time> nodes_seen;
  // Nodes that are silent, and since when, in words.
  std::map<std::string, std::string> silent_nodes;
  absl::Time judge_from;
  absl::Time last_look;
};

struct Context {
  Ledger& ledger;
  Runtime& runtime;
  const Terms& terms;
  absl::Time now;

  const State& state() const { return ledger.state(); }
  void Record(EventBody body) const { ledger.Record(now, std::move(body)); }
  void Emit(Effect effect) const { ledger.Emit(std::move(effect)); }
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_DECIDE_CONTEXT_H_
