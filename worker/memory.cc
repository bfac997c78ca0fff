#include "worker/memory.h"

#include <malloc.h>

#include <cstring>
#include <utility>

#include "common/status.h"

namespace tfd::worker {
namespace {

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
  FlatBuffer buffer;
  buffer.elements_ = elements;
  absl::StatusOr<std::unique_ptr<SharedMemory>> shared =
      SharedMemory::Create("tfd-worker", elements * sizeof(float));
  if (shared.ok()) {
    buffer.shared_ = *std::move(shared);
    buffer.data_ = reinterpret_cast<float*>(buffer.shared_->data());
  } else if (absl::IsUnimplemented(shared.status())) {
    buffer.own_ = tensor::FloatBuffer::Zeros(elements);
    buffer.data_ = buffer.own_.data();
  } else {
    return Annotate(shared.status(), "memory for the model's parameters");
  }
  return buffer;
}

void FlatBuffer::SetZero() {
  if (elements_ > 0) std::memset(data_, 0, elements_ * sizeof(float));
}

}  // namespace tfd::worker
