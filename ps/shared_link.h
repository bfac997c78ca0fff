// Messages between two processes of one host whose tensors stay where they are:
// a ring of small messages in each direction, and segments of memory that the
// peer maps for reading. Each side writes only its own memory. A byte on a Unix
// socket wakes a side that sleeps; its end is the peer's end.
#ifndef TFD_PS_SHARED_LINK_H_
#define TFD_PS_SHARED_LINK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/net/local_socket.h"
#include "common/shared_memory.h"
#include "ps/shared_ring.h"
#include "tensor/accumulate.h"
#include "tensor/chunk_codec.h"

namespace tfd::ps {

// Own ring memory for a link with `capacity` (a power of two) messages on their
// way in each direction.
absl::StatusOr<std::unique_ptr<SharedMemory>> MakeSharedRing(uint64_t capacity);
// At least `messages`, as capacities are.
uint64_t SharedRingCapacity(uint64_t messages);

// Send from any thread; Run by one; Close from any.
class SharedLink {
 public:
  // `peer_ring` is what came over `socket`, which outlives the link; both rings
  // have `capacity`, or it is refused. Payloads of more than
  // `max_payload_bytes` are refused.
  static absl::StatusOr<std::unique_ptr<SharedLink>> Create(
      const net::LocalSocket* socket, std::unique_ptr<SharedMemory> own_ring,
      UniqueDescriptor peer_ring, uint64_t capacity, size_t max_payload_bytes);

  // Where a payload is: `memory` outlives the link, and `place.segment` always
  // stands for the same memory. Never blocks; ResourceExhausted where the peer
  // has not taken what was sent before.
  absl::Status Send(const SharedSlot& slot, const SharedMemory* memory);

  // Gives what arrives to `on_message` until the connection ends, `on_message`
  // fails or the peer breaks the rules; never OK. `header` is valid during the
  // call, the payload as long as it is kept.
  using OnMessage =
      std::function<absl::Status(tensor::ByteSpan header, tensor::Payload)>;
  absl::Status Run(const OnMessage& on_message);

  void Close() { socket_.Shutdown(); }

 private:
  SharedLink(const net::LocalSocket* socket,
             std::unique_ptr<SharedMemory> own_ring,
             std::shared_ptr<const PeerMemory> peer_ring, uint64_t capacity,
             size_t max_payload_bytes);
  absl::Status Drain(const OnMessage& on_message);
  absl::StatusOr<tensor::Payload> Find(const SharedPlace& place);
  absl::Status ReceiveControl(absl::Time deadline);

  const net::LocalSocket& socket_;
  const std::unique_ptr<SharedMemory> own_memory_;
  const std::shared_ptr<const PeerMemory> peer_memory_;
  const uint64_t capacity_;
  const size_t max_payload_bytes_;
  SharedRingHeader* const own_;
  SharedSlot* const own_slots_;
  const SharedRingHeader* const peer_;
  const SharedSlot* const peer_slots_;

  absl::Mutex send_mutex_;
  uint64_t produced_ ABSL_GUARDED_BY(send_mutex_) = 0;
  // The peer's sleep that was ended last.
  uint32_t woken_ ABSL_GUARDED_BY(send_mutex_) = 0;
  std::unordered_set<uint32_t> announced_ ABSL_GUARDED_BY(send_mutex_);

  // Run's alone.
  uint64_t consumed_ = 0;
  uint32_t sleeps_ = 0;
  std::unordered_map<uint32_t, std::shared_ptr<const PeerMemory>> segments_;
};

}  // namespace tfd::ps

#endif  // TFD_PS_SHARED_LINK_H_
