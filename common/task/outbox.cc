#include "common/task/outbox.h"

#include <algorithm>
#include <iterator>
#include <vector>

namespace tfd::internal {
namespace {

using Message = v1::TaskMessage;

bool IsMetrics(const Outbox::Entry& entry) {
  return entry.message.message_case() == Message::kMetrics;
}

}  // namespace

void Outbox::Add(v1::TaskMessage message, bool connected) {
  Entry entry{next_sequence_++, std::move(message)};
  if (IsMetrics(entry) && !connected) return;
  Retain(entry);
  if (queue_.size() >= kMaxQueued) DropOne();
  queue_.push_back(std::move(entry));
}

void Outbox::Sent(uint64_t sequence) {
  if (!queue_.empty() && queue_.front().sequence == sequence) {
    queue_.pop_front();
  }
}

void Outbox::BeginStream() {
  const uint64_t first_unsent =
      queue_.empty() ? next_sequence_ : queue_.front().sequence;
  std::vector<Entry> again;
  for (const auto& [key, entry] : retained_) {
    if (entry.sequence < first_unsent) again.push_back(entry);
  }
  std::sort(again.begin(), again.end(), [](const Entry& a, const Entry& b) {
    return a.sequence < b.sequence;
  });
  queue_.erase(std::remove_if(queue_.begin(), queue_.end(), IsMetrics),
               queue_.end());
  queue_.insert(queue_.begin(), std::make_move_iterator(again.begin()),
                std::make_move_iterator(again.end()));
}

void Outbox::Committed(int64_t step) {
  retained_.erase(retained_.lower_bound({Message::kShardSaved, INT64_MIN}),
                  retained_.upper_bound({Message::kShardSaved, step}));
}

void Outbox::Retain(const Entry& entry) {
  const Message::MessageCase kind = entry.message.message_case();
  switch (kind) {
    case Message::kShardSaved: {
      retained_[{kind, entry.message.shard_saved().step()}] = entry;
      const auto begin = retained_.lower_bound({kind, INT64_MIN});
      const auto end = retained_.upper_bound({kind, INT64_MAX});
      if (static_cast<size_t>(std::distance(begin, end)) > kMaxRetainedSteps) {
        retained_.erase(begin);
      }
      return;
    }
    case Message::kManifestWritten:
    case Message::kEvaluated:
    case Message::kExported:
    case Message::kPlan:
    case Message::kDone:
      retained_[{kind, 0}] = entry;
      return;
    // The link sends these by itself, or they are only of use when they are
    // new; or (a notice) one that comes twice is worse than one that is lost.
    case Message::kHello:
    case Message::kHeartbeat:
    case Message::kMetrics:
    case Message::kSpoolNotice:
    case Message::MESSAGE_NOT_SET:
      return;
  }
}

void Outbox::DropOne() {
  const auto oldest = std::find_if(queue_.begin(), queue_.end(), IsMetrics);
  queue_.erase(oldest == queue_.end() ? queue_.begin() : oldest);
}

}  // namespace tfd::internal
