// What a task has still to say to its coordinator, and what it would have to
// say again after a reconnect. No network, no threads.
#ifndef TFD_COMMON_TASK_OUTBOX_H_
#define TFD_COMMON_TASK_OUTBOX_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <utility>

#include "tfd/v1/task.pb.h"

namespace tfd::internal {

// Messages leave in the order in which they were added. Thread-compatible.
class Outbox {
 public:
  struct Entry {
    // Grows by one with every message added.
    uint64_t sequence = 0;
    v1::TaskMessage message;
  };

  // At most this many messages wait; beyond it the oldest metrics are dropped,
  // and where there are none the oldest message.
  static constexpr size_t kMaxQueued = 1024;
  // Of shard_saved the messages of this many newest steps are kept.
  static constexpr size_t kMaxRetainedSteps = 16;

  // Metrics are dropped at once where `connected` is false.
  void Add(v1::TaskMessage message, bool connected);

  bool empty() const { return queue_.empty(); }
  // Nothing waits, and nothing would be sent again.
  bool settled() const { return queue_.empty() && retained_.empty(); }
  size_t size() const { return queue_.size(); }
  // The next to send; only where it is not empty.
  const Entry& Front() const { return queue_.front(); }
  // That entry has been sent. (It may have been dropped meanwhile.)
  void Sent(uint64_t sequence);

  // A new stream begins: what was sent on an earlier one and may not have
  // arrived waits again, before what was not sent; metrics are dropped.
  void BeginStream();

  // Checkpoints up to this step have been committed: nobody needs to hear of
  // their shards any more.
  void Committed(int64_t step);

 private:
  // The kind of message, and the step for those that are kept per step.
  using Key = std::pair<v1::TaskMessage::MessageCase, int64_t>;

  void Retain(const Entry& entry);
  void DropOne();

  uint64_t next_sequence_ = 0;
  std::deque<Entry> queue_;
  std::map<Key, Entry> retained_;
};

}  // namespace tfd::internal

#endif  // TFD_COMMON_TASK_OUTBOX_H_
