// What a chunk does with numbers: sums, the optimizer, new versions of its
// parameters.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "ps/chunk.h"
#include "ps/schedule.h"
#include "tensor/accumulate.h"
#include "tensor/gradient_reader.h"

namespace tfd::ps {
namespace {

// 16 KiB of sums: with the gradients', the parameters' and the state's blocks
// they stay in the first-level caches.
constexpr size_t kBlockElements = 4096;

}  // namespace

// On arrival: what came over a socket occupies memory here.
void Chunk::Sum(double weight, const tensor::ReceivedRequest& push) {
  if (weight == 0) return;
  if (sum_.size() < trained_) sum_ = tensor::FloatBuffer(trained_);
  tensor::GradientReader gradient(push.header, push.payload);
  if (total_weight_ == 0) {
    gradient.SetNext(static_cast<float>(weight), sum_.span());
  } else {
    gradient.AddNext(static_cast<float>(weight), sum_.span());
  }
  total_weight_ += weight;
}

absl::Status Chunk::Update(uint64_t step, double total_weight) {
  // All slots have given this step, so the one before is complete on every
  // shard and nobody asks for the parameters before that one any more. Written
  // to again, they may still be in the cache.
  previous_ = {};
  ParameterRef next = FreeBuffer();
  const PoolBlock& updated = next.BeginWrite();
  const absl::Status taken = TakeBuffers(updated.floats);
  if (context_->nan == v1::ExchangeSpec::SKIP) {
    // Before anything has changed.
    const absl::Status finite = taken.ok() ? SumAndCheck() : taken;
    if (!finite.ok()) {
      next.EndWrite();
      spdlog::warn("{}; left out", std::string(finite.message()));
      stats_->updates_skipped.fetch_add(1, std::memory_order_relaxed);
      KeepParameters();
      return absl::OkStatus();
    }
  }
  UpdateInfo info;
  info.learning_rate =
      LearningRate(context_->optimizer_spec, static_cast<int64_t>(step),
                   context_->planned_steps);
  info.gradient_scale = static_cast<float>(1 / total_weight);
  info.update = ++updates_;
  const absl::Status applied = taken.ok() ? Apply(info, updated) : taken;
  next.EndWrite();
  TFD_RETURN_IF_ERROR(applied);
  previous_ = std::exchange(current_, std::move(next));
  return absl::OkStatus();
}

// Nothing is applied in this step.
void Chunk::KeepParameters() {
  previous_ = current_;
  if (!in_worker()) return;
  // The worker goes on with its other version.
  ParameterRef next = FreeBuffer();
  std::copy(current_.span().begin(), current_.span().end(),
            next.BeginWrite().floats.begin());
  next.EndWrite();
  current_ = std::move(next);
}

absl::Status Chunk::SumAndCheck() {
  for (Slot& slot : slots_) {
    Sum(slot.weight, slot.held);
    slot.weight = 0;  // is in the sum
  }
  const size_t first = tensor::FirstNotFinite(sum_.span());
  return first == sum_.size() ? absl::OkStatus() : NotFinite(first);
}

// The new values of the buffers: slot 0's, or the old ones where it gives
// nothing now.
absl::Status Chunk::TakeBuffers(absl::Span<float> updated) const {
  const absl::Span<float> buffers = updated.subspan(trained_);
  if (buffers.empty()) return absl::OkStatus();
  const tensor::Payload& given = slots_[0].held.payload;
  if (given.size_bytes() == 0) {
    std::copy_n(current_.span().begin() + trained_, buffers.size(),
                buffers.begin());
    return absl::OkStatus();
  }
  tensor::NumberReader reader(given.spans());
  reader.Next(trained_);
  tensor::CopyFloats(reader.Next(buffers.size()), buffers);
  if (context_->nan == v1::ExchangeSpec::IGNORE) return absl::OkStatus();
  const size_t first = tensor::FirstNotFinite(buffers);
  return first == buffers.size() ? absl::OkStatus()
                                 : NotFinite(trained_ + first);
}

// Sums what is held, in the order of slots, and applies it, block by block: so
// that the sum of a block is still in the cache when the optimizer reads it,
// and every gradient is read from memory once.
absl::Status Chunk::Apply(const UpdateInfo& info, const PoolBlock& updated) {
  const bool summed = total_weight_ > 0;
  const size_t elements = trained_;
  std::vector<tensor::GradientReader> gradients;
  gradients.reserve(slots_.size());
  for (const Slot& slot : slots_) {
    gradients.emplace_back(slot.held.header, slot.held.payload);
  }
  if (!summed && sum_.size() < std::min(elements, kBlockElements)) {
    sum_ = tensor::FloatBuffer(std::min(elements, kBlockElements));
  }
  absl::InlinedVector<float*, 2> state(state_.size());
  for (size_t begin = 0; begin < elements; begin += kBlockElements) {
    const size_t count = std::min(kBlockElements, elements - begin);
    const absl::Span<float> sum =
        sum_.span().subspan(summed ? begin : 0, count);
    bool started = summed;
    for (size_t i = 0; i < slots_.size(); ++i) {
      // Idle, or nothing in the batch; 0 · NaN must not count either.
      if (slots_[i].weight == 0) continue;
      const auto weight = static_cast<float>(slots_[i].weight);
      if (started) {
        gradients[i].AddNext(weight, sum);
      } else {
        gradients[i].SetNext(weight, sum);
      }
      started = true;
    }
    if (context_->nan == v1::ExchangeSpec::FAIL) {
      const size_t first = tensor::FirstNotFinite(sum);
      if (first < count) return NotFinite(begin + first);
    }
    for (size_t i = 0; i < state_.size(); ++i) {
      state[i] = state_[i].data() + begin;
    }
    context_->optimizer->Apply(
        info, {current_.span().subspan(begin, count), sum,
               absl::MakeSpan(state), updated.floats.subspan(begin, count)});
    Narrow(updated, begin, count);
  }
  return absl::OkStatus();
}

// What was just written, beside itself in fewer bits.
void Chunk::Narrow(const PoolBlock& block, size_t begin, size_t count) const {
  const tensor::NumberType type = context_->pool->narrow_type();
  if (type == tensor::NumberType::kFloat32) return;
  tensor::Narrow(type, block.floats.subspan(begin, count),
                 block.narrow.data() + begin * tensor::BytesPerNumber(type));
}

absl::Status Chunk::NotFinite(size_t element) const {
  const uint64_t at = range_.begin + element;
  std::string parameter = Name();
  for (const tensor::TensorPiece& piece :
       context_->layout->Pieces({at, at + 1})) {
    parameter = context_->layout->tensor(piece.tensor).name();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      element < trained_ ? "the gradient of " : "the buffer ", parameter,
      " has a NaN or an infinity at step ", step(),
      ": training has diverged or the data holds such numbers; try a smaller "
      "optimizer.lr, or exchange.nan: skip",
      context_->pool->narrow_type() == tensor::NumberType::kFloat16
          ? ". Or it is larger than 65504, float16's largest number; "
            "exchange.payload: bfloat16 has float32's range"
          : ""));
}

ParameterRef Chunk::FreeBuffer() {
  // The second version first, since workers begin with what is in their first.
  // References that are left over are gRPC's, of messages that have arrived.
  if (in_worker()) return buffers_[current_ == buffers_[1] ? 0 : 1];
  // One free buffer is found here in the usual case: of three, one is the
  // current version, one the version before. More are there only while slow
  // peers or a snapshot still read old versions.
  ParameterRef free;
  const auto is_extra = [&free](const ParameterRef& buffer) {
    if (!buffer.IsUnique()) return false;
    if (free) return true;
    free = buffer;
    return false;
  };
  buffers_.erase(std::remove_if(buffers_.begin(), buffers_.end(), is_extra),
                 buffers_.end());
  if (!free) {
    free = ParameterRef::Allocate(context_->pool, range_.elements());
    buffers_.push_back(free);
  }
  return free;
}

}  // namespace tfd::ps
