#include "tensor/layout.h"

#include <algorithm>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status.h"

namespace tfd::tensor {
namespace {

// Beyond this a count of elements no longer fits signed 64-bit byte arithmetic.
constexpr uint64_t kMaxElements =
    std::numeric_limits<int64_t>::max() / (2 * sizeof(double));
constexpr uint64_t kMaxChunkElements = uint64_t{1} << 24;  // 64 MiB of float32

absl::Status WrongField(absl::string_view field, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("layout.", field, ": ", what));
}

absl::Status CheckNames(
    absl::string_view field,
    const google::protobuf::RepeatedPtrField<std::string>& names) {
  if (names.empty())
    return WrongField(field, "is empty; at least one is needed");
  std::set<absl::string_view> seen;
  for (int i = 0; i < names.size(); ++i) {
    const std::string name = absl::StrCat(field, "[", i, "]");
    if (names[i].empty()) return WrongField(name, "has no name");
    if (!seen.insert(names[i]).second) {
      return WrongField(name, absl::StrCat(names[i], " is listed twice"));
    }
  }
  return absl::OkStatus();
}

// The product of a shape, or what is wrong with it.
absl::StatusOr<uint64_t> Product(absl::string_view field,
                                 absl::Span<const int64_t> shape) {
  uint64_t product = 1;
  for (const int64_t dimension : shape) {
    if (dimension < 0) {
      return WrongField(field, absl::StrCat("[", absl::StrJoin(shape, ", "),
                                            "] has a negative dimension"));
    }
    uint64_t next = 0;
    if (__builtin_mul_overflow(product, static_cast<uint64_t>(dimension),
                               &next) ||
        next > kMaxElements) {
      return WrongField(field, absl::StrCat("[", absl::StrJoin(shape, ", "),
                                            "] has too many elements"));
    }
    product = next;
  }
  return product;
}

absl::Status CheckTensors(const v1::LayoutGroup& group, uint64_t* elements) {
  std::set<absl::string_view> seen;
  uint64_t next = 0;
  for (int i = 0; i < group.tensors_size(); ++i) {
    const v1::TensorInfo& tensor = group.tensors(i);
    const std::string field = absl::StrCat("tensors[", i, "]");
    if (tensor.name().empty()) return WrongField(field + ".name", "is empty");
    if (!seen.insert(tensor.name()).second) {
      return WrongField(field + ".name",
                        absl::StrCat(tensor.name(), " is listed twice"));
    }
    TFD_ASSIGN_OR_RETURN(const uint64_t product,
                         Product(field + ".shape", tensor.shape()));
    if (tensor.elements() != product) {
      return WrongField(field + ".elements",
                        absl::StrCat(tensor.elements(), ", but the shape [",
                                     absl::StrJoin(tensor.shape(), ", "),
                                     "] of ", tensor.name(), " has ", product));
    }
    if (tensor.begin() != next) {
      return WrongField(
          field + ".begin",
          absl::StrCat(tensor.begin(), ", but the tensors before ",
                       tensor.name(), " end at ", next));
    }
    next += product;
    if (next > kMaxElements) {
      return WrongField(field, "more elements in all than can be addressed");
    }
  }
  if (next == 0) return WrongField("tensors", "the model has no parameters");
  *elements = next;
  return absl::OkStatus();
}

absl::Status CheckBuffers(const v1::LayoutGroup& group, uint64_t elements) {
  if (!group.has_buffers_begin()) return absl::OkStatus();
  const uint64_t begin = group.buffers_begin();
  if (begin > elements) {
    return WrongField("buffers_begin",
                      absl::StrCat(begin, " is beyond the ", elements,
                                   " elements of all tensors"));
  }
  if (begin == 0) {
    return WrongField("buffers_begin",
                      "0: the model has buffers, but no parameters");
  }
  const bool at_tensor =
      begin == elements ||
      std::any_of(
          group.tensors().begin(), group.tensors().end(),
          [begin](const v1::TensorInfo& t) { return t.begin() == begin; });
  if (!at_tensor) {
    return WrongField("buffers_begin",
                      absl::StrCat(begin, " is inside of a tensor"));
  }
  return absl::OkStatus();
}

// Totals up to this are summed in one place: what they cost is messages and
// wake-ups, of which one shard needs the fewest (docs/performance.md).
constexpr uint64_t kOneShardElements = 64 * 1024 / sizeof(float);

// `chunk_elements`, or less where not every shard would get a chunk.
uint64_t FittingChunk(uint64_t chunk_elements, uint64_t elements,
                      uint64_t shards) {
  if (shards == 0 || elements < shards) return chunk_elements;
  const uint64_t even = (elements + shards - 1) / shards;
  const bool reaches_all = (elements + even - 1) / even == shards;
  return std::min(chunk_elements, reaches_all ? even : elements / shards);
}

// FNV-1a: stable over processes and versions, which absl::Hash is not.
class Fingerprinter {
 public:
  void Add(absl::string_view text) {
    Add(text.size());
    for (const char c : text) AddByte(static_cast<uint8_t>(c));
  }
  void Add(uint64_t number) {
    for (int i = 0; i < 8; ++i)
      AddByte(static_cast<uint8_t>(number >> (8 * i)));
  }
  uint64_t value() const { return value_; }

 private:
  void AddByte(uint8_t byte) { value_ = (value_ ^ byte) * 0x100000001b3; }
  uint64_t value_ = 0xcbf29ce484222325;
};

uint64_t FingerprintOf(const v1::LayoutGroup& group, uint64_t buffers_begin) {
  Fingerprinter print;
  print.Add(group.name());
  print.Add(group.members_size());
  for (const std::string& member : group.members()) print.Add(member);
  print.Add(group.shards_size());
  for (const std::string& shard : group.shards()) print.Add(shard);
  print.Add(group.chunk_elements());
  print.Add(group.tensors_size());
  for (const v1::TensorInfo& tensor : group.tensors()) {
    print.Add(tensor.name());
    print.Add(tensor.shape_size());
    for (const int64_t dimension : tensor.shape()) {
      print.Add(static_cast<uint64_t>(dimension));
    }
  }
  print.Add(buffers_begin);
  return print.value();
}

std::string ShapeText(const v1::TensorInfo& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.shape(), ", "), "]");
}

std::string NamesDifference(
    absl::string_view field,
    const google::protobuf::RepeatedPtrField<std::string>& a,
    const google::protobuf::RepeatedPtrField<std::string>& b) {
  if (std::equal(a.begin(), a.end(), b.begin(), b.end())) return "";
  return absl::StrCat(field, ": ", absl::StrJoin(a, ", "), " against ",
                      absl::StrJoin(b, ", "));
}

}  // namespace

absl::StatusOr<Layout> Layout::FromGroup(v1::LayoutGroup group) {
  TFD_RETURN_IF_ERROR(CheckNames("members", group.members()));
  TFD_RETURN_IF_ERROR(CheckNames("shards", group.shards()));
  if (group.chunk_elements() == 0 ||
      group.chunk_elements() > kMaxChunkElements) {
    return WrongField("chunk_elements",
                      absl::StrCat(group.chunk_elements(), " is not in 1 to ",
                                   kMaxChunkElements));
  }
  Layout layout;
  TFD_RETURN_IF_ERROR(CheckTensors(group, &layout.elements_));
  TFD_RETURN_IF_ERROR(CheckBuffers(group, layout.elements_));
  const uint64_t chunks =
      (layout.elements_ + group.chunk_elements() - 1) / group.chunk_elements();
  if (chunks > std::numeric_limits<uint32_t>::max()) {
    return WrongField(
        "chunk_elements",
        absl::StrCat(group.chunk_elements(), " cuts ", layout.elements_,
                     " elements into more chunks than can be "
                     "numbered; use larger chunks"));
  }
  if (chunks < static_cast<uint64_t>(group.shards_size())) {
    return WrongField("shards",
                      absl::StrCat("there are ", group.shards_size(),
                                   " shards, but only ", chunks,
                                   " chunks of parameters; use fewer parameter "
                                   "servers (tasks.ps.count)"));
  }
  layout.chunks_ = static_cast<uint32_t>(chunks);
  layout.group_ = std::move(group);
  layout.fingerprint_ = FingerprintOf(layout.group_, layout.buffers_begin());
  return layout;
}

absl::StatusOr<Layout> Layout::FromProto(const v1::Layout& layout,
                                         uint64_t generation) {
  if (layout.generation() != generation) {
    return absl::FailedPreconditionError(
        absl::StrCat("layout.generation: ", layout.generation(),
                     ", but this is generation ", generation));
  }
  if (layout.groups_size() != 1) {
    return WrongField("groups", absl::StrCat("there are ", layout.groups_size(),
                                             "; exactly one is supported"));
  }
  return FromGroup(layout.groups(0));
}

absl::StatusOr<Layout> Layout::Build(const LayoutParts& parts) {
  v1::LayoutGroup group;
  group.set_name(parts.group);
  for (const std::string& member : parts.members) group.add_members(member);
  uint64_t begin = 0;
  for (size_t i = 0; i < parts.tensors.size(); ++i) {
    v1::TensorInfo* tensor = group.add_tensors();
    tensor->set_name(parts.tensors[i].name);
    tensor->mutable_shape()->Add(parts.tensors[i].shape.begin(),
                                 parts.tensors[i].shape.end());
    TFD_ASSIGN_OR_RETURN(const uint64_t elements,
                         Product(absl::StrCat("tensors[", i, "].shape"),
                                 parts.tensors[i].shape));
    tensor->set_begin(begin);
    tensor->set_elements(elements);
    begin += elements;
    if (i + 1 + parts.buffers == parts.tensors.size() && parts.buffers > 0) {
      group.set_buffers_begin(begin);
    }
  }
  if (parts.buffers > 0 && !group.has_buffers_begin()) {
    return WrongField("buffers_begin",
                      absl::StrCat("all ", parts.tensors.size(),
                                   " tensors are buffers; there is nothing to "
                                   "train"));
  }
  const bool one_shard =
      begin <= std::min(parts.chunk_elements, kOneShardElements);
  const size_t shards = one_shard ? std::min<size_t>(parts.shards.size(), 1)
                                  : parts.shards.size();
  for (size_t i = 0; i < shards; ++i) group.add_shards(parts.shards[i]);
  group.set_chunk_elements(FittingChunk(parts.chunk_elements, begin, shards));
  return FromGroup(std::move(group));
}

v1::Layout Layout::ToProto(uint64_t generation) const {
  v1::Layout layout;
  layout.set_generation(generation);
  *layout.add_groups() = group_;
  return layout;
}

FlatRange Layout::ChunkRange(uint32_t chunk) const {
  const uint64_t begin = chunk * chunk_elements();
  return {begin, std::min(begin + chunk_elements(), elements_)};
}

std::vector<uint32_t> Layout::ChunksOf(uint32_t shard) const {
  std::vector<uint32_t> chunks;
  for (uint64_t c = shard; c < chunks_; c += shards()) {
    chunks.push_back(static_cast<uint32_t>(c));
  }
  return chunks;
}

std::pair<uint32_t, uint32_t> Layout::ChunksOfTensor(size_t tensor) const {
  const v1::TensorInfo& info = this->tensor(tensor);
  if (info.elements() == 0) return {1, 0};
  const uint64_t last = info.begin() + info.elements() - 1;
  return {static_cast<uint32_t>(info.begin() / chunk_elements()),
          static_cast<uint32_t>(last / chunk_elements())};
}

std::vector<TensorPiece> Layout::Pieces(FlatRange range) const {
  // The first tensor that ends after the range begins; tensors are sorted.
  const auto first =
      std::partition_point(group_.tensors().begin(), group_.tensors().end(),
                           [&](const v1::TensorInfo& t) {
                             return t.begin() + t.elements() <= range.begin;
                           });
  std::vector<TensorPiece> pieces;
  for (auto it = first; it != group_.tensors().end(); ++it) {
    if (it->begin() >= range.end) break;
    if (it->elements() == 0) continue;
    const uint64_t begin = std::max(it->begin(), range.begin);
    const uint64_t end = std::min(it->begin() + it->elements(), range.end);
    if (begin >= end) break;  // the range is empty
    pieces.push_back({static_cast<size_t>(it - group_.tensors().begin()),
                      begin - it->begin(), end - it->begin(),
                      begin - range.begin});
  }
  return pieces;
}

absl::StatusOr<uint32_t> Layout::SlotOf(const std::string& task) const {
  for (int i = 0; i < group_.members_size(); ++i) {
    if (group_.members(i) == task) return static_cast<uint32_t>(i);
  }
  return absl::NotFoundError(
      absl::StrCat(task, " fills no slot of this layout; its members are ",
                   absl::StrJoin(group_.members(), ", ")));
}

std::string Layout::DescribeDifference(const Layout& other) const {
  const v1::LayoutGroup& a = group_;
  const v1::LayoutGroup& b = other.group_;
  if (a.name() != b.name()) {
    return absl::StrCat("name: ", a.name(), " against ", b.name());
  }
  if (a.chunk_elements() != b.chunk_elements()) {
    return absl::StrCat("chunk_elements: ", a.chunk_elements(), " against ",
                        b.chunk_elements());
  }
  std::string difference = NamesDifference("members", a.members(), b.members());
  if (!difference.empty()) return difference;
  difference = NamesDifference("shards", a.shards(), b.shards());
  if (!difference.empty()) return difference;
  difference =
      DescribeTensorDifference(a.tensors(), "here", b.tensors(), "there");
  if (!difference.empty()) return difference;
  if (buffers_begin() != other.buffers_begin()) {
    return absl::StrCat("buffers_begin: ", buffers_begin(), " against ",
                        other.buffers_begin());
  }
  return "";
}

std::string PieceName(const v1::TensorInfo& tensor, uint64_t begin,
                      uint64_t end) {
  if (begin == 0 && end == tensor.elements()) return tensor.name();
  return absl::StrCat(tensor.name(), "[", begin, ":", end, "]");
}

std::string DescribeTensorDifference(
    const google::protobuf::RepeatedPtrField<v1::TensorInfo>& a,
    const char* a_is,
    const google::protobuf::RepeatedPtrField<v1::TensorInfo>& b,
    const char* b_is) {
  for (int i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i].name() != b[i].name() || ShapeText(a[i]) != ShapeText(b[i])) {
      return absl::StrCat("tensors[", i, "] is ", a[i].name(), " ",
                          ShapeText(a[i]), " ", a_is, " and ", b[i].name(), " ",
                          ShapeText(b[i]), " ", b_is);
    }
  }
  if (a.size() != b.size()) {
    return absl::StrCat(a.size(), " tensors ", a_is, " and ", b.size(), " ",
                        b_is);
  }
  return "";
}

}  // namespace tfd::tensor
