#include "worker/memory.h"

#include <malloc.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/units.h"

namespace tfd::worker {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr int kMmapThresholdBytes = 1 << 30;
// The settings are ints: the largest that fits stands for "never trim".
constexpr int kTrimThresholdBytes = 0x7fffffff;
constexpr int kTopPadBytes = 64 << 20;

}  // namespace

void TuneAllocator() {
  mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes);
  mallopt(M_TRIM_THRESHOLD, kTrimThresholdBytes);
  mallopt(M_TOP_PAD, kTopPadBytes);
  mallopt(M_ARENA_MAX, 1);
}

absl::StatusOr<FlatBuffer> FlatBuffer::Allocate(uint64_t elements) {
  const size_t wanted = elements * sizeof(float);
  const size_t size_bytes =
      (wanted / kPageBytes + (wanted % kPageBytes != 0 || wanted == 0)) *
      kPageBytes;
  void* memory = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return ErrnoStatus(errno,
                       absl::StrCat("allocating ", FormatBytes(size_bytes),
                                    " for the model's parameters"));
  }
  return FlatBuffer(static_cast<float*>(memory), elements, size_bytes);
}

FlatBuffer::FlatBuffer(FlatBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      elements_(std::exchange(other.elements_, 0)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

FlatBuffer& FlatBuffer::operator=(FlatBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(elements_, other.elements_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

FlatBuffer::~FlatBuffer() {
  if (data_ != nullptr) munmap(data_, size_bytes_);
}

void FlatBuffer::SetZero() {
  if (elements_ > 0) std::memset(data_, 0, elements_ * sizeof(float));
}

}  // namespace tfd::worker
