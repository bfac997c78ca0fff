// Where every parameter is: a flat key space cut into chunks that shards hold.
// Pure arithmetic over a v1::LayoutGroup.
#ifndef TFD_TENSOR_LAYOUT_H_
#define TFD_TENSOR_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tfd/v1/shard.pb.h"

namespace tfd::tensor {

// A half-open range of elements of the flat key space.
struct FlatRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t elements() const { return end - begin; }
};

// The part of one tensor that lies in a flat range.
struct TensorPiece {
  // Which of the layout's tensors.
  size_t tensor = 0;
  // Elements of that tensor, counted from its first.
  uint64_t begin = 0;
  uint64_t end = 0;
  // Where the piece begins, counted from the first element of the range.
  uint64_t offset = 0;
  uint64_t elements() const { return end - begin; }
};

// A parameter as a model lists it.
struct TensorShape {
  std::string name;
  std::vector<int64_t> shape;
};

// What a layout is built from.
struct LayoutParts {
  // The group's name; there is one group today.
  std::string group = "dense";
  // Slot s is filled by members[s]; shard i is shards[i]. Tasks' names. A total
  // of at most 64 KiB that fits one chunk is all in shards[0], and the layout
  // has no other.
  std::vector<std::string> members;
  std::vector<std::string> shards;
  // In the order of the flat key space.
  std::vector<TensorShape> tensors;
  // So many of them, the last ones, are buffers: see buffers_begin().
  size_t buffers = 0;
  // Elements, not bytes: exchange.chunk_bytes / sizeof(float). The layout's
  // chunks are smaller where a small model would leave a shard without any.
  uint64_t chunk_elements = 0;
};

// Immutable, always valid. Copyable; thread-safe.
class Layout {
 public:
  // Refuses (InvalidArgument naming the field, e.g. "layout.tensors[3].begin:
  // …") whatever does not describe a gapless key space in which every shard
  // has a chunk.
  static absl::StatusOr<Layout> FromGroup(v1::LayoutGroup group);
  // The one group of a message; its generation must be `generation`.
  static absl::StatusOr<Layout> FromProto(const v1::Layout& layout,
                                          uint64_t generation);
  static absl::StatusOr<Layout> Build(const LayoutParts& parts);

  const v1::LayoutGroup& group() const { return group_; }
  v1::Layout ToProto(uint64_t generation) const;

  uint64_t elements() const { return elements_; }
  // The elements from this one on are buffers (batch norm's statistics): they
  // have no gradient, slot 0 sends their new values with its step. elements()
  // where there are none.
  uint64_t buffers_begin() const {
    return group_.has_buffers_begin() ? group_.buffers_begin() : elements_;
  }
  uint64_t chunk_elements() const { return group_.chunk_elements(); }
  uint32_t chunks() const { return chunks_; }
  uint32_t slots() const {
    return static_cast<uint32_t>(group_.members_size());
  }
  uint32_t shards() const {
    return static_cast<uint32_t>(group_.shards_size());
  }
  size_t tensors() const { return group_.tensors_size(); }
  const v1::TensorInfo& tensor(size_t index) const {
    return group_.tensors(static_cast<int>(index));
  }

  // `chunk` < chunks(). The last one may be shorter.
  FlatRange ChunkRange(uint32_t chunk) const;
  uint32_t ShardOf(uint32_t chunk) const { return chunk % shards(); }
  // The chunks of a shard, ascending.
  std::vector<uint32_t> ChunksOf(uint32_t shard) const;
  // The first and the last chunk that a tensor lies in, both included; empty
  // tensors lie in none and give {1, 0}.
  std::pair<uint32_t, uint32_t> ChunksOfTensor(size_t tensor) const;
  // The pieces of tensors in a range, in order; empty tensors have none.
  std::vector<TensorPiece> Pieces(FlatRange range) const;

  // Slot of a task, or NotFound naming the members.
  absl::StatusOr<uint32_t> SlotOf(const std::string& task) const;

  // Equal layouts have equal fingerprints (64 bits of a hash of the message).
  uint64_t Fingerprint() const { return fingerprint_; }
  // The first difference in words ("tensors[2].shape: [10, 84] against
  // [10, 80]"), or empty where both are the same.
  std::string DescribeDifference(const Layout& other) const;

 private:
  Layout() = default;

  v1::LayoutGroup group_;
  uint64_t elements_ = 0;
  uint32_t chunks_ = 0;
  uint64_t fingerprint_ = 0;
};

// "NAME" where the piece is the whole tensor, else "NAME[BEGIN:END]": how
// checkpoints name it.
std::string PieceName(const v1::TensorInfo& tensor, uint64_t begin,
                      uint64_t end);

// The first difference of two lists of tensors by name and shape, in words
// that call them `a_is` and `b_is`; empty where they are the same.
std::string DescribeTensorDifference(
    const google::protobuf::RepeatedPtrField<v1::TensorInfo>& a,
    const char* a_is,
    const google::protobuf::RepeatedPtrField<v1::TensorInfo>& b,
    const char* b_is);

}  // namespace tfd::tensor

#endif  // TFD_TENSOR_LAYOUT_H_
