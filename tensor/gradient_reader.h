// A pushed gradient, read block by block, however it is written: all of its
// numbers, or entries (the places of some of them, then their values).
#ifndef TFD_TENSOR_GRADIENT_READER_H_
#define TFD_TENSOR_GRADIENT_READER_H_

#include <array>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "tensor/accumulate.h"
#include "tensor/chunk_codec.h"

namespace tfd::tensor {

// Whether a payload is what `header` says, for a chunk of `elements`:
// InvalidArgument naming the field.
absl::Status CheckGradient(const ChunkRequest& header, const Payload& payload,
                           uint64_t elements);

// Reads from the first element on. Thread-compatible.
class GradientReader {
 public:
  // `payload` outlives the reader and has been checked; that of a slot without
  // one is never read. Where a peer changes its memory after the check, other
  // numbers are summed, and nothing worse.
  GradientReader(const ChunkRequest& header, const Payload& payload);

  // sum[i] = weight · g, and sum[i] += weight · g, for the next sum.size()
  // elements g.
  void SetNext(float weight, absl::Span<float> sum);
  void AddNext(float weight, absl::Span<float> sum);

 private:
  static constexpr size_t kEntriesAtOnce = 128;

  void AddEntries(float weight, absl::Span<float> sum);
  // Copies the next entries; false where there are none.
  bool FetchEntries();

  const NumberType type_;
  const bool sparse_;
  NumberReader places_;
  // Values, or all numbers.
  NumberReader numbers_;

  // Of entries alone: those that have not been fetched, those that have been,
  // and the element that comes next.
  size_t entries_left_;
  size_t fetched_ = 0;
  size_t used_ = 0;
  uint64_t next_ = 0;
  std::array<uint32_t, kEntriesAtOnce> place_;
  std::array<float, kEntriesAtOnce> value_;
};

}  // namespace tfd::tensor

#endif  // TFD_TENSOR_GRADIENT_READER_H_
