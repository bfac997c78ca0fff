// Which chunks of the gradient are complete while backward goes on.
#ifndef TFD_WORKER_CHUNK_TRACKER_H_
#define TFD_WORKER_CHUNK_TRACKER_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "tensor/layout.h"

namespace tfd::worker {

// Thread-compatible.
class ChunkTracker {
 public:
  explicit ChunkTracker(const tensor::Layout& layout)
      : tensors_of_(layout.chunks(), 0) {
    for (size_t i = 0; i < layout.tensors(); ++i) {
      chunks_of_.push_back(layout.ChunksOfTensor(i));
      for (uint32_t chunk = chunks_of_[i].first; chunk <= chunks_of_[i].second;
           ++chunk) {
        ++tensors_of_[chunk];
      }
    }
    missing_ = tensors_of_;
  }

  // A step begins.
  void Reset() { missing_ = tensors_of_; }

  // The gradient of a tensor is there; `complete` is called with each chunk
  // that has nothing missing any more. Once per tensor and step.
  void Done(size_t tensor, absl::FunctionRef<void(uint32_t)> complete) {
    // Backward comes from the last tensor to the first, hence its order.
    for (uint32_t chunk = chunks_of_[tensor].second + 1;
         chunk-- > chunks_of_[tensor].first;) {
      if (--missing_[chunk] == 0) complete(chunk);
    }
  }

 private:
  // First and last; an empty tensor has {1, 0}.
  std::vector<std::pair<uint32_t, uint32_t>> chunks_of_;
  std::vector<uint32_t> tensors_of_;
  std::vector<uint32_t> missing_;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_CHUNK_TRACKER_H_
