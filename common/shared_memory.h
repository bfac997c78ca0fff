// Memory that this process writes and other processes of the host read where it
// is. Nobody else can write it: its file is sealed before its descriptor leaves
// the process, so that a peer, also a stale one that wakes up late, can do no
// harm.
#ifndef TFD_COMMON_SHARED_MEMORY_H_
#define TFD_COMMON_SHARED_MEMORY_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/unique_descriptor.h"

namespace tfd {

// Memory of this process, allocated in full (a full tmpfs or a limit is an
// error here and no SIGBUS later) and zero at first. Thread-compatible.
class SharedMemory {
 public:
  // Unimplemented where the system has no memfd or cannot seal one against
  // writers; ResourceExhausted where there is no memory. `name` shows up in
  // /proc/PID/maps.
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Create(
      const std::string& name, size_t bytes);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  std::byte* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }
  // To be given to others; they can map it for reading.
  int descriptor() const { return descriptor_.get(); }
  // Whether the `bytes` from `begin` on lie in it.
  bool Contains(const void* begin, size_t bytes) const;

 private:
  SharedMemory(UniqueDescriptor descriptor, std::byte* data, size_t size_bytes)
      : descriptor_(std::move(descriptor)),
        data_(data),
        size_bytes_(size_bytes) {}

  const UniqueDescriptor descriptor_;
  std::byte* const data_;
  const size_t size_bytes_;
};

// Another process's SharedMemory, for reading. Its content may change at any
// moment: whatever is decided by it is copied out first. Immutable;
// thread-safe.
class PeerMemory {
 public:
  // Takes only a descriptor that is sealed as SharedMemory's are: a file that
  // could be truncated would end this process with SIGBUS.
  static absl::StatusOr<std::shared_ptr<const PeerMemory>> Map(
      UniqueDescriptor descriptor);
  ~PeerMemory();
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  const std::byte* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }

 private:
  PeerMemory(const std::byte* data, size_t size_bytes)
      : data_(data), size_bytes_(size_bytes) {}

  const std::byte* const data_;
  const size_t size_bytes_;
};

}  // namespace tfd

#endif  // TFD_COMMON_SHARED_MEMORY_H_
