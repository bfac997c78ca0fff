// One direction of messages between two processes of a host: a ring of slots in
// memory that its producer writes and its consumer only reads. How far the
// consumer is stands in the consumer's own memory, so that neither ever writes
// into the other's.
#ifndef TFD_PS_SHARED_RING_H_
#define TFD_PS_SHARED_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace tfd::ps {

inline constexpr size_t kCacheLineBytes = 64;

// Where a message's payload is: in one of the sender's segments.
struct SharedPlace {
  uint32_t segment = 0;
  uint32_t padding = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  // Where not 0, the version of what is there, and `version_offset` the place
  // of the word in the segment that says so as long as it is true.
  uint64_t version = 0;
  uint64_t version_offset = 0;
};

// A message without its payload, in protobuf's wire format.
struct SharedSlot {
  static constexpr size_t kHeaderBytes = 212;
  SharedPlace place;
  uint32_t header_bytes = 0;
  char header[kHeaderBytes];
};
static_assert(sizeof(SharedSlot) == 256 &&
                  std::is_trivially_copyable_v<SharedSlot>,
              "processes built apart agree on it");

// What one side of a link shows the other, followed by its ring's slots.
struct SharedRingHeader {
  uint64_t magic = 0;
  uint64_t capacity = 0;
  // Slots ever written to the ring here.
  alignas(kCacheLineBytes) std::atomic<uint64_t> produced{0};
  // Slots ever taken from the peer's ring.
  alignas(kCacheLineBytes) std::atomic<uint64_t> consumed{0};
  // Nobody takes from the peer's ring until a wake-up comes.
  std::atomic<uint32_t> sleeping{0};
};
static_assert(std::atomic<uint64_t>::is_always_lock_free,
              "a lock would not work across processes");

inline constexpr uint64_t kSharedRingMagic = 0x31676e6972646674;  // "tfdring1"

inline size_t SharedRingBytes(uint64_t capacity) {
  return sizeof(SharedRingHeader) + capacity * sizeof(SharedSlot);
}

}  // namespace tfd::ps

#endif  // TFD_PS_SHARED_RING_H_
