#include "daemon/coordinator/core/ledger.h"

#include <algorithm>
#include <iterator>
#include <variant>

#include "daemon/coordinator/core/apply.h"

namespace tfd::coordinator {

void Ledger::Record(absl::Time time, EventBody body) {
  events_.push_back(Event{time, std::move(body)});
  std::vector<Effect> effects = Apply(state_, events_.back());
  std::move(effects.begin(), effects.end(), std::back_inserter(effects_));
}

bool Ledger::has_effect_to_review_queue() const {
  return std::any_of(effects_.begin(), effects_.end(), [](const Effect& e) {
    return std::holds_alternative<ReviewQueue>(e);
  });
}

Ledger::Batch Ledger::TakeBatch() {
  Batch batch;
  batch.previous_index = state_.last_index - events_.size();
  batch.events = std::exchange(events_, {});
  batch.effects = std::exchange(effects_, {});
  return batch;
}

}  // namespace tfd::coordinator
