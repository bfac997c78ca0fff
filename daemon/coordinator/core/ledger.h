// The state, and what is to be journaled of how it became so.
//
// Decisions are taken and applied here before they are durable, because the
// next command of a batch is decided on top of them. Nobody else sees this
// state before they are: replies, effects and published views wait for the
// journal (loop/event_loop.h), and a coordinator whose journal fails ends
// without having told anybody.
//
// Event-loop only.
#ifndef TFD_DAEMON_COORDINATOR_CORE_LEDGER_H_
#define TFD_DAEMON_COORDINATOR_CORE_LEDGER_H_

#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "daemon/coordinator/core/effect.h"
#include "daemon/coordinator/core/event.h"
#include "daemon/coordinator/core/state.h"

namespace tfd::coordinator {

class Ledger {
 public:
  // `state` as recovered from snapshot and journal.
  explicit Ledger(State state) : state_(std::move(state)) {}

  const State& state() const { return state_; }

  // Applies an event and keeps it for the journal, its effects for release.
  void Record(absl::Time time, EventBody body);
  // An effect that is not an event's.
  void Emit(Effect effect) { effects_.push_back(std::move(effect)); }

  bool has_effect_to_review_queue() const;

  struct Batch {
    // The index of the event before the first of these.
    uint64_t previous_index = 0;
    std::vector<Event> events;
    std::vector<Effect> effects;
  };
  // What has come together since the last time.
  Batch TakeBatch();

 private:
  State state_;
  std::vector<Event> events_;
  std::vector<Effect> effects_;
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CORE_LEDGER_H_
