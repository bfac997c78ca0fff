#include "ps/shared_link.h"

#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/status.h"
#include "common/units.h"

namespace tfd::ps {
namespace {

constexpr uint64_t kMaxCapacity = 1 << 16;
// What a link may be asked to map of a peer's memory.
constexpr size_t kMaxSegments = 1024;
// For a segment's announcement, which the peer sends before it refers to it.
constexpr absl::Duration kSegmentPatience = absl::Seconds(5);
// On the socket: a wake-up, or a segment's number with its descriptor.
constexpr absl::string_view kWake = "w";
constexpr absl::string_view kSegment = "s";

absl::Status Broken(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("shared memory: ", what, "; the peer breaks the rules"));
}

bool IsCapacity(uint64_t capacity) {
  return capacity > 0 && capacity <= kMaxCapacity &&
         (capacity & (capacity - 1)) == 0;
}

}  // namespace

uint64_t SharedRingCapacity(uint64_t messages) {
  uint64_t capacity = 1;
  while (capacity < messages && capacity < kMaxCapacity) capacity *= 2;
  return capacity;
}

absl::StatusOr<std::unique_ptr<SharedMemory>> MakeSharedRing(
    uint64_t capacity) {
  TFD_ASSIGN_OR_RETURN(
      std::unique_ptr<SharedMemory> memory,
      SharedMemory::Create("tfd-ring", SharedRingBytes(capacity)));
  auto* header = new (memory->data()) SharedRingHeader();
  header->magic = kSharedRingMagic;
  header->capacity = capacity;
  return memory;
}

absl::StatusOr<std::unique_ptr<SharedLink>> SharedLink::Create(
    const net::LocalSocket* socket, std::unique_ptr<SharedMemory> own_ring,
    UniqueDescriptor peer_ring, uint64_t capacity, size_t max_payload_bytes) {
  if (!IsCapacity(capacity)) {
    return Broken(absl::StrCat("a ring of ", capacity, " messages"));
  }
  TFD_ASSIGN_OR_RETURN(std::shared_ptr<const PeerMemory> peer,
                       PeerMemory::Map(std::move(peer_ring)));
  if (peer->size_bytes() < SharedRingBytes(capacity)) {
    return Broken(absl::StrCat("a ring of ", FormatBytes(peer->size_bytes()),
                               " for ", capacity, " messages"));
  }
  const auto* header = reinterpret_cast<const SharedRingHeader*>(peer->data());
  if (header->magic != kSharedRingMagic || header->capacity != capacity) {
    return Broken("a ring of another kind");
  }
  return std::unique_ptr<SharedLink>(new SharedLink(socket, std::move(own_ring),
                                                    std::move(peer), capacity,
                                                    max_payload_bytes));
}

SharedLink::SharedLink(const net::LocalSocket* socket,
                       std::unique_ptr<SharedMemory> own_ring,
                       std::shared_ptr<const PeerMemory> peer_ring,
                       uint64_t capacity, size_t max_payload_bytes)
    : socket_(*socket),
      own_memory_(std::move(own_ring)),
      peer_memory_(std::move(peer_ring)),
      capacity_(capacity),
      max_payload_bytes_(max_payload_bytes),
      own_(reinterpret_cast<SharedRingHeader*>(own_memory_->data())),
      own_slots_(reinterpret_cast<SharedSlot*>(own_memory_->data() +
                                               sizeof(SharedRingHeader))),
      peer_(reinterpret_cast<const SharedRingHeader*>(peer_memory_->data())),
      peer_slots_(reinterpret_cast<const SharedSlot*>(
          peer_memory_->data() + sizeof(SharedRingHeader))) {}

absl::Status SharedLink::Send(const SharedSlot& slot,
                              const SharedMemory* memory) {
  absl::MutexLock lock(&send_mutex_);
  if (slot.place.segment != 0 && announced_.insert(slot.place.segment).second) {
    TFD_RETURN_IF_ERROR(socket_.Send(absl::StrCat(kSegment, slot.place.segment),
                                     memory->descriptor()));
  }
  if (produced_ - peer_->consumed.load(std::memory_order_acquire) >=
      capacity_) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the peer has not taken ", capacity_, " messages of shared memory"));
  }
  own_slots_[produced_ & (capacity_ - 1)] = slot;
  // Either the sleeper sees this message before it sleeps, or its sleep is seen
  // here: both sides first write their own word, then read the other's.
  own_->produced.store(++produced_, std::memory_order_seq_cst);
  const uint32_t sleep = peer_->sleeping.load(std::memory_order_seq_cst);
  if (sleep % 2 == 1 && sleep != woken_) {
    woken_ = sleep;
    const absl::Status sent = socket_.Send(kWake);
    // A full queue holds wake-ups enough.
    if (!sent.ok() && !absl::IsResourceExhausted(sent)) return sent;
  }
  return absl::OkStatus();
}

absl::Status SharedLink::Run(const OnMessage& on_message) {
  while (true) {
    TFD_RETURN_IF_ERROR(Drain(on_message));
    own_->sleeping.store(++sleeps_, std::memory_order_seq_cst);  // odd: asleep
    absl::Status status;
    if (peer_->produced.load(std::memory_order_seq_cst) == consumed_) {
      status = ReceiveControl(absl::InfiniteFuture());
    }
    own_->sleeping.store(++sleeps_, std::memory_order_relaxed);
    if (status.ok()) continue;
    // A peer that has ended may have answered before.
    TFD_RETURN_IF_ERROR(Drain(on_message));
    return status;
  }
}

absl::Status SharedLink::Drain(const OnMessage& on_message) {
  while (true) {
    const uint64_t produced = peer_->produced.load(std::memory_order_acquire);
    if (produced == consumed_) return absl::OkStatus();
    if (produced - consumed_ > capacity_) {
      return Broken(absl::StrCat(produced - consumed_,
                                 " messages in a ring of ", capacity_));
    }
    // The peer could change it while it is looked at.
    SharedSlot slot;
    std::memcpy(&slot, &peer_slots_[consumed_ & (capacity_ - 1)], sizeof(slot));
    own_->consumed.store(++consumed_, std::memory_order_release);
    if (slot.header_bytes > SharedSlot::kHeaderBytes) {
      return Broken(absl::StrCat("a header of ", slot.header_bytes, " bytes"));
    }
    TFD_ASSIGN_OR_RETURN(tensor::Payload payload, Find(slot.place));
    TFD_RETURN_IF_ERROR(on_message(
        {reinterpret_cast<const std::byte*>(slot.header), slot.header_bytes},
        std::move(payload)));
  }
}

absl::StatusOr<tensor::Payload> SharedLink::Find(const SharedPlace& place) {
  if (place.segment == 0) return tensor::Payload();
  const absl::Time deadline = absl::Now() + kSegmentPatience;
  auto it = segments_.find(place.segment);
  while (it == segments_.end()) {
    TFD_RETURN_IF_ERROR(
        Annotate(ReceiveControl(deadline),
                 absl::StrCat("waiting for segment ", place.segment)));
    it = segments_.find(place.segment);
  }
  const PeerMemory& memory = *it->second;
  if (place.bytes > max_payload_bytes_ || place.bytes > memory.size_bytes() ||
      place.offset > memory.size_bytes() - place.bytes) {
    return Broken(absl::StrCat("payload: ", place.bytes, " bytes at ",
                               place.offset, " of ", memory.size_bytes()));
  }
  tensor::PayloadVersion version;
  if (place.version != 0) {
    if (memory.size_bytes() < sizeof(uint64_t) ||
        place.version_offset > memory.size_bytes() - sizeof(uint64_t) ||
        place.version_offset % sizeof(uint64_t) != 0) {
      return Broken(absl::StrCat("a version at ", place.version_offset, " of ",
                                 memory.size_bytes()));
    }
    version.word = reinterpret_cast<const std::atomic<uint64_t>*>(
        memory.data() + place.version_offset);
    version.expected = place.version;
  }
  return tensor::Payload::InPlace({memory.data() + place.offset, place.bytes},
                                  version, it->second);
}

absl::Status SharedLink::ReceiveControl(absl::Time deadline) {
  TFD_ASSIGN_OR_RETURN(net::LocalMessage message, socket_.Receive(deadline));
  absl::string_view text = message.text;
  if (text == kWake) return absl::OkStatus();
  uint32_t number = 0;
  if (!absl::ConsumePrefix(&text, kSegment) ||
      !absl::SimpleAtoi(text, &number) || number == 0 ||
      !message.descriptor.valid() || segments_.size() >= kMaxSegments) {
    return Broken("a control message of no known kind");
  }
  TFD_ASSIGN_OR_RETURN(std::shared_ptr<const PeerMemory> memory,
                       PeerMemory::Map(std::move(message.descriptor)));
  if (!segments_.emplace(number, std::move(memory)).second) {
    return Broken(absl::StrCat("segment ", number, " twice"));
  }
  return absl::OkStatus();
}

}  // namespace tfd::ps
