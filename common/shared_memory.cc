#include "common/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/units.h"

namespace tfd {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kHugePageBytes = 2 << 20;
#ifndef MADV_COLLAPSE
constexpr int MADV_COLLAPSE = 25;  // Linux 6.1; not in older headers
#endif
// Neither its size nor who may write it changes any more. Mappings that are
// writable already, the owner's, stay so.
constexpr int kSeals =
    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
constexpr int kSealsOfPeers = F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE;

// Maps the file from its beginning, where it can be mapped by huge pages: as
// far from a multiple of their size as in the file. MAP_FAILED and errno.
void* MapAligned(int descriptor, size_t size_bytes, int protection) {
  if (size_bytes < kHugePageBytes) {
    return mmap(nullptr, size_bytes, protection, MAP_SHARED, descriptor, 0);
  }
  void* const reserved =
      mmap(nullptr, size_bytes + kHugePageBytes, PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return MAP_FAILED;
  auto* const begin = static_cast<std::byte*>(reserved);
  const size_t before =
      (kHugePageBytes - reinterpret_cast<uintptr_t>(begin) % kHugePageBytes) %
      kHugePageBytes;
  void* const data = mmap(begin + before, size_bytes, protection,
                          MAP_SHARED | MAP_FIXED, descriptor, 0);
  if (data == MAP_FAILED) {
    munmap(reserved, size_bytes + kHugePageBytes);
    return MAP_FAILED;
  }
  if (before > 0) munmap(begin, before);
  if (before < kHugePageBytes) {
    munmap(begin + before + size_bytes, kHugePageBytes - before);
  }
  return data;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::Create(
    const std::string& name, size_t bytes) {
  const size_t size_bytes =
      (bytes == 0 ? 1 : (bytes + kPageBytes - 1) / kPageBytes) * kPageBytes;
  const std::string what = absl::StrCat("allocating ", FormatBytes(size_bytes),
                                        " to share (", name, ")");
  UniqueDescriptor descriptor(
      memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!descriptor.valid()) {
    return absl::UnimplementedError(
        ErrnoStatus(errno, absl::StrCat("memfd_create for ", what)).message());
  }
  const int failed =
      posix_fallocate(descriptor.get(), 0, static_cast<off_t>(size_bytes));
  if (failed != 0) return ErrnoStatus(failed, what);
  void* data = MapAligned(descriptor.get(), size_bytes, PROT_READ | PROT_WRITE);
  if (data == MAP_FAILED) return ErrnoStatus(errno, what);
  // Fewer page table walks where the system gives huge pages; else nothing.
  madvise(data, size_bytes, MADV_HUGEPAGE);
  madvise(data, size_bytes, MADV_COLLAPSE);
  std::unique_ptr<SharedMemory> memory(new SharedMemory(
      std::move(descriptor), static_cast<std::byte*>(data), size_bytes));
  if (fcntl(memory->descriptor(), F_ADD_SEALS, kSeals) != 0) {
    return absl::UnimplementedError(
        ErrnoStatus(errno, absl::StrCat("sealing memory against writers (",
                                        name, "), which takes Linux 5.1"))
            .message());
  }
  return memory;
}

SharedMemory::~SharedMemory() { munmap(data_, size_bytes_); }

bool SharedMemory::Contains(const void* begin, size_t bytes) const {
  const auto* at = static_cast<const std::byte*>(begin);
  return at >= data_ && at <= data_ + size_bytes_ &&
         bytes <= static_cast<size_t>(data_ + size_bytes_ - at);
}

absl::StatusOr<std::shared_ptr<const PeerMemory>> PeerMemory::Map(
    UniqueDescriptor descriptor) {
  const int seals = fcntl(descriptor.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSealsOfPeers) != kSealsOfPeers) {
    return absl::PermissionDeniedError(
        "the peer's memory is not sealed: it could be cut short while it is "
        "read");
  }
  struct stat status;
  if (fstat(descriptor.get(), &status) != 0) {
    return ErrnoStatus(errno, "looking at the peer's memory");
  }
  const auto size_bytes = static_cast<size_t>(status.st_size);
  void* data = MapAligned(descriptor.get(), size_bytes, PROT_READ);
  if (data == MAP_FAILED) {
    return ErrnoStatus(errno, absl::StrCat("mapping ", FormatBytes(size_bytes),
                                           " of a peer's memory"));
  }
  return std::shared_ptr<const PeerMemory>(
      new PeerMemory(static_cast<const std::byte*>(data), size_bytes));
}

PeerMemory::~PeerMemory() {
  munmap(const_cast<std::byte*>(data_), size_bytes_);
}

}  // namespace tfd
