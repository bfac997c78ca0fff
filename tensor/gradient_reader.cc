#include "tensor/gradient_reader.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "tensor/top_k.h"

namespace tfd::tensor {
namespace {

void CopyBytes(absl::Span<const ByteSpan> spans, void* out) {
  auto* to = static_cast<std::byte*>(out);
  for (const ByteSpan span : spans) {
    std::memcpy(to, span.data(), span.size());
    to += span.size();
  }
}

absl::Status CheckPlaces(const ChunkRequest& header, const Payload& payload,
                         uint64_t elements) {
  NumberReader places(payload.spans());
  std::array<uint32_t, 256> some;
  uint64_t next = 0;
  for (size_t left = header.entries; left > 0;) {
    const size_t count = std::min(left, some.size());
    CopyBytes(places.Next(count), some.data());
    for (size_t i = 0; i < count; ++i) {
      if (some[i] < next || some[i] >= elements) {
        return absl::InvalidArgumentError(
            absl::StrCat("payload: the place ", some[i], " of entry ",
                         header.entries - left + i, " is not in ", next, " to ",
                         elements - 1, "; places ascend and are in the chunk"));
      }
      next = uint64_t{some[i]} + 1;
    }
    left -= count;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckGradient(const ChunkRequest& header, const Payload& payload,
                           uint64_t elements) {
  if (header.entries > elements) {
    return absl::InvalidArgumentError(absl::StrCat("entries: ", header.entries,
                                                   ", but chunk ", header.chunk,
                                                   " has ", elements));
  }
  const uint64_t expected =
      header.entries > 0 ? header.entries * BytesPerEntry(header.payload_type)
                         : elements * BytesPerNumber(header.payload_type);
  if (payload.size_bytes() != expected) {
    return absl::InvalidArgumentError(absl::StrCat(
        "payload: ", payload.size_bytes(), " bytes, but ",
        header.entries > 0 ? absl::StrCat(header.entries, " entries")
                           : absl::StrCat("chunk ", header.chunk),
        " has ", expected, " as ", NumberTypeName(header.payload_type)));
  }
  return CheckPlaces(header, payload, elements);
}

GradientReader::GradientReader(const ChunkRequest& header,
                               const Payload& payload)
    : type_(header.payload_type),
      sparse_(header.entries > 0),
      places_(payload.spans()),
      numbers_(payload.spans(), type_),
      entries_left_(header.entries) {
  // Values come after the places.
  if (sparse_) numbers_.SkipBytes(entries_left_ * sizeof(uint32_t));
}

void GradientReader::SetNext(float weight, absl::Span<float> sum) {
  if (sparse_) {
    std::fill(sum.begin(), sum.end(), 0);
    return AddEntries(weight, sum);
  }
  SetScaled(weight, numbers_.Next(sum.size()), sum, type_);
}

void GradientReader::AddNext(float weight, absl::Span<float> sum) {
  if (sparse_) return AddEntries(weight, sum);
  AddScaled(weight, numbers_.Next(sum.size()), sum, type_);
}

void GradientReader::AddEntries(float weight, absl::Span<float> sum) {
  const uint64_t begin = next_;
  next_ += sum.size();
  while (used_ < fetched_ || FetchEntries()) {
    const uint64_t place = place_[used_];
    if (place >= next_) return;
    // Looked at once more: what was checked may have been changed.
    if (place >= begin) sum[place - begin] += weight * value_[used_];
    ++used_;
  }
}

bool GradientReader::FetchEntries() {
  fetched_ = std::min(entries_left_, kEntriesAtOnce);
  used_ = 0;
  if (fetched_ == 0) return false;
  entries_left_ -= fetched_;
  CopyBytes(places_.Next(fetched_), place_.data());
  Widen(type_, numbers_.Next(fetched_),
        absl::MakeSpan(value_).subspan(0, fetched_));
  return true;
}

}  // namespace tfd::tensor
