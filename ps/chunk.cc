#include "ps/chunk.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "ps/schedule.h"
#include "tensor/accumulate.h"

namespace tfd::ps {
namespace {

// 16 KiB of sums: with the gradients', the parameters' and the state's blocks
// they stay in the first-level caches.
constexpr size_t kBlockElements = 4096;

// Of the elements of a chunk.
size_t TrainedElements(const tensor::Layout& layout, tensor::FlatRange range) {
  const uint64_t end = std::min(range.end, layout.buffers_begin());
  return end > range.begin ? end - range.begin : 0;
}

ShardReply ParametersReply(v1::ChunkKind kind, uint32_t chunk, uint64_t step,
                           ParameterRef parameters) {
  ShardReply reply;
  reply.header.kind = kind;
  reply.header.chunk = chunk;
  reply.header.step = step;
  reply.parameters = std::move(parameters);
  return reply;
}

}  // namespace

ShardReply ErrorReply(const tensor::ChunkRequest& request,
                      const absl::Status& status) {
  ShardReply reply;
  reply.header.kind = request.kind;
  reply.header.chunk = request.chunk;
  reply.header.step = request.step;
  reply.header.code = static_cast<int32_t>(status.code());
  reply.header.message = std::string(status.message());
  return reply;
}

bool IsCheckpointStep(int64_t step, int64_t every_steps, int64_t total_steps) {
  if (step <= 0) return false;
  return step == total_steps || (every_steps > 0 && step % every_steps == 0);
}

Chunk::Chunk(const ChunkContext* context, uint32_t number,
             tensor::FlatRange range, ShardStats* stats)
    : context_(context),
      number_(number),
      range_(range),
      trained_(TrainedElements(*context->layout, range)),
      stats_(stats),
      slots_(context->slots) {
  for (size_t i = 0; i < context_->optimizer->state_names().size(); ++i) {
    state_.push_back(tensor::FloatBuffer::Zeros(range.elements()));
  }
}

void Chunk::Deliver(tensor::ReceivedRequest request, ReplyCallback reply) {
  std::vector<Item> items;
  {
    absl::MutexLock lock(&mutex_);
    inbox_.push_back({std::move(request), std::move(reply)});
    if (owned_) return;
    owned_ = true;
    items.swap(inbox_);
  }
  while (true) {
    for (Item& item : items) Process(std::move(item));
    items.clear();
    absl::MutexLock lock(&mutex_);
    if (inbox_.empty()) {
      owned_ = false;
      return;
    }
    items.swap(inbox_);
  }
}

void Chunk::Process(Item item) {
  switch (item.request.header.kind) {
    case v1::INIT:
      return Init(item.request, item.reply);
    case v1::PULL:
      return Pull(item.request.header, std::move(item.reply));
    case v1::PUSH:
      return Push(std::move(item.request), std::move(item.reply));
    default:
      return Refuse(item.request.header, item.reply,
                    absl::InvalidArgumentError("kind: is not set"));
  }
}

void Chunk::Init(const tensor::ReceivedRequest& request,
                 const ReplyCallback& reply) {
  if (!initialised()) {
    current_ = FreeBuffer();
    tensor::CopyFloats(request.payload.spans(), current_.BeginWrite());
    current_.EndWrite();
    initialised_.store(true, std::memory_order_release);
  }
  reply(ParametersReply(v1::INIT, number_, step(), ParameterRef()));
  AnswerPulls();
}

void Chunk::Pull(const tensor::ChunkRequest& request, ReplyCallback reply) {
  Slot& slot = slots_[request.slot];
  if (!initialised() || request.step > StepOf(request.slot)) {
    // One waiting pull a slot: a repeated one, on a new stream, replaces it.
    if (slot.pull_reply) {
      Refuse(request, slot.pull_reply,
             absl::AbortedError("the same slot pulled again"));
    }
    slot.pull_reply = std::move(reply);
    slot.pull_step = request.step;
    return;
  }
  absl::StatusOr<ParameterRef> parameters = ParametersAt(request.step);
  if (!parameters.ok()) return Refuse(request, reply, parameters.status());
  reply(
      ParametersReply(v1::PULL, number_, request.step, *std::move(parameters)));
}

void Chunk::Push(tensor::ReceivedRequest request, ReplyCallback reply) {
  const tensor::ChunkRequest& header = request.header;
  if (!initialised()) {
    return Refuse(header, reply,
                  absl::FailedPreconditionError(
                      absl::StrCat(Name(),
                                   " has no parameters yet; slot 0 sends INIT "
                                   "before anybody pushes")));
  }
  if (!broken_.ok()) return Refuse(header, reply, broken_);
  if (context_->sync != v1::StrategySpec::BSP) {
    return PushAlone(std::move(request), std::move(reply));
  }
  if (header.step > step()) {
    return Refuse(header, reply,
                  absl::FailedPreconditionError(
                      absl::StrCat("step: a push for step ", header.step,
                                   ", but ", Name(), " is at step ", step(),
                                   "; with bsp a step begins when "
                                   "the one before is complete")));
  }
  Slot& slot = slots_[header.slot];
  if (header.step < step()) {
    stats_->pushes_repeated.fetch_add(1, std::memory_order_relaxed);
    absl::StatusOr<ParameterRef> parameters = ParametersAt(header.step + 1);
    if (!parameters.ok()) return Refuse(header, reply, parameters.status());
    return reply(ParametersReply(v1::PUSH, number_, header.step + 1,
                                 *std::move(parameters)));
  }
  if (slot.given) {
    stats_->pushes_repeated.fetch_add(1, std::memory_order_relaxed);
    Refuse(header, slot.push_reply,
           absl::AbortedError("the same slot pushed this again"));
    slot.push_reply = std::move(reply);
    return;
  }
  stats_->pushes_applied.fetch_add(1, std::memory_order_relaxed);
  slot.given = true;
  slot.weight = header.weight;
  slot.push_reply = std::move(reply);
  ++given_;
  const bool sends_buffers = header.slot == 0 && trained_ < range_.elements();
  if (context_->deterministic || request.payload.in_place() || sends_buffers) {
    slot.held = std::move(request.payload);
  } else {
    Sum(slot.weight, request.payload);
    slot.weight = 0;  // is in the sum
  }
  if (given_ == slots_.size()) CompleteStep();
}

// ssp and async: each gradient is applied as it comes. A step is a number of
// its own for each slot; step_ is the slowest slot's.
void Chunk::PushAlone(tensor::ReceivedRequest request, ReplyCallback reply) {
  const tensor::ChunkRequest& header = request.header;
  Slot& slot = slots_[header.slot];
  if (header.step > slot.step) {
    return Refuse(
        header, reply,
        absl::FailedPreconditionError(absl::StrCat(
            "step: a push for step ", header.step, ", but slot ", header.slot,
            " of ", Name(), " is at step ", slot.step.load())));
  }
  // A repeated one takes the place of what waits already.
  const bool repeated = header.step < slot.step || slot.held_back.has_value();
  if (repeated) {
    stats_->pushes_repeated.fetch_add(1, std::memory_order_relaxed);
    ReplyCallback& waiting =
        slot.held_back.has_value() ? slot.held_back->reply : slot.push_reply;
    if (waiting) {
      Refuse(header, waiting,
             absl::AbortedError("the same slot pushed this again"));
    }
    waiting = std::move(reply);
  } else if (header.step >= NextCheckpoint()) {
    // A checkpoint is what every slot has given up to its step, and no more.
    slot.held_back = Item{std::move(request), std::move(reply)};
  } else {
    ApplyAlone(std::move(request), std::move(reply));
  }
  GoOnAlone();
}

void Chunk::ApplyAlone(tensor::ReceivedRequest request, ReplyCallback reply) {
  Slot& slot = slots_[request.header.slot];
  stats_->pushes_applied.fetch_add(1, std::memory_order_relaxed);
  slot.push_reply = std::move(reply);
  slot.weight = request.header.weight;
  slot.held = std::move(request.payload);
  if (slot.weight > 0) {
    const absl::Status updated = Update(slot.step, slot.weight);
    if (!updated.ok()) return Break(updated);
  }
  slot.weight = 0;
  slot.held = tensor::Payload();
  total_weight_ = 0;
  slot.step.fetch_add(1, std::memory_order_release);
}

// Answers whoever may go on, takes a checkpoint that everybody has come to, and
// lets those in that waited for it.
void Chunk::GoOnAlone() {
  while (broken_.ok()) {
    const uint64_t slowest = SlowestSlot();
    const bool advanced = slowest > step();
    const bool checkpoint = advanced && slowest == NextCheckpoint();
    step_.store(slowest, std::memory_order_release);
    for (Slot& slot : slots_) {
      if (!slot.push_reply) continue;
      if (context_->sync == v1::StrategySpec::SSP &&
          slot.step > slowest + context_->staleness) {
        continue;
      }
      auto answer = [reply = std::exchange(slot.push_reply, nullptr),
                     parameters = current_, now = slot.step.load(),
                     number = number_] {
        reply(ParametersReply(v1::PUSH, number, now, parameters));
      };
      if (checkpoint) {
        context_->snapshots->WhenThereIsRoom(static_cast<int64_t>(slowest),
                                             std::move(answer));
      } else {
        answer();
      }
    }
    AnswerPulls();
    if (!checkpoint) return;
    TakeSnapshot();
    for (Slot& slot : slots_) {
      if (!slot.held_back.has_value()) continue;
      Item item = *std::exchange(slot.held_back, std::nullopt);
      ApplyAlone(std::move(item.request), std::move(item.reply));
    }
  }
}

uint64_t Chunk::SlowestSlot() const {
  uint64_t slowest = slots_[0].step;
  for (const Slot& slot : slots_) {
    slowest = std::min<uint64_t>(slowest, slot.step);
  }
  return slowest;
}

// After step_; the last step's is one.
uint64_t Chunk::NextCheckpoint() const {
  const auto every = static_cast<uint64_t>(context_->checkpoint_every_steps);
  const auto total = static_cast<uint64_t>(context_->total_steps);
  if (every == 0) return total;
  return std::min(total, (step() / every + 1) * every);
}

// On arrival: what came over a socket occupies memory here.
void Chunk::Sum(double weight, const tensor::Payload& payload) {
  if (weight == 0) return;
  if (sum_.size() < trained_) sum_ = tensor::FloatBuffer(trained_);
  tensor::FloatReader reader(payload.spans());
  const absl::Span<const tensor::ByteSpan> spans = reader.Next(trained_);
  if (total_weight_ == 0) {
    tensor::SetScaled(static_cast<float>(weight), spans, sum_.span());
  } else {
    tensor::AddScaled(static_cast<float>(weight), spans, sum_.span());
  }
  total_weight_ += weight;
}

void Chunk::CompleteStep() {
  double total_weight = total_weight_;
  for (const Slot& slot : slots_) total_weight += slot.weight;
  if (total_weight > 0) {
    const absl::Status updated = Update(step(), total_weight);
    if (!updated.ok()) return Break(updated);
  } else {
    previous_ = current_;
  }
  for (Slot& slot : slots_) slot.held = tensor::Payload();
  step_.fetch_add(1, std::memory_order_release);
  total_weight_ = 0;
  given_ = 0;
  const auto now = static_cast<int64_t>(step());
  const bool checkpoint = IsCheckpointStep(
      now, context_->checkpoint_every_steps, context_->total_steps);
  AnswerStep();
  // After the answers, so that the copies are not waited for; before any push
  // of the next step, since this thread owns the chunk.
  if (checkpoint) TakeSnapshot();
}

absl::Status Chunk::Update(uint64_t step, double total_weight) {
  ParameterRef next = FreeBuffer();
  const absl::Span<float> updated = next.BeginWrite();
  const absl::Status taken = TakeBuffers(updated);
  if (context_->nan == v1::ExchangeSpec::SKIP) {
    // Before anything has changed.
    const absl::Status finite = taken.ok() ? SumAndCheck() : taken;
    if (!finite.ok()) {
      next.EndWrite();
      spdlog::warn("{}; left out", std::string(finite.message()));
      stats_->updates_skipped.fetch_add(1, std::memory_order_relaxed);
      previous_ = current_;
      return absl::OkStatus();
    }
  }
  UpdateInfo info;
  info.learning_rate =
      LearningRate(context_->optimizer_spec, static_cast<int64_t>(step),
                   context_->total_steps);
  info.gradient_scale = static_cast<float>(1 / total_weight);
  info.update = ++updates_;
  const absl::Status applied = taken.ok() ? Apply(info, updated) : taken;
  next.EndWrite();
  TFD_RETURN_IF_ERROR(applied);
  previous_ = std::exchange(current_, std::move(next));
  return absl::OkStatus();
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
  const tensor::Payload& given = slots_[0].held;
  if (given.size_bytes() == 0) {
    std::copy_n(current_.span().begin() + trained_, buffers.size(),
                buffers.begin());
    return absl::OkStatus();
  }
  tensor::FloatReader reader(given.spans());
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
absl::Status Chunk::Apply(const UpdateInfo& info, absl::Span<float> updated) {
  const bool summed = total_weight_ > 0;
  const size_t elements = trained_;
  std::vector<tensor::FloatReader> readers;
  for (const Slot& slot : slots_) readers.emplace_back(slot.held.spans());
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
      const auto spans = readers[i].Next(count);
      if (started) {
        tensor::AddScaled(weight, spans, sum);
      } else {
        tensor::SetScaled(weight, spans, sum);
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
               absl::MakeSpan(state), updated.subspan(begin, count)});
  }
  return absl::OkStatus();
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
      "optimizer.lr, or exchange.nan: skip"));
}

// The step stays incomplete: everybody who gave to it is told why, and whoever
// comes later.
void Chunk::Break(const absl::Status& status) {
  broken_ = status;
  for (Slot& slot : slots_) {
    tensor::ChunkRequest request;
    request.kind = v1::PUSH;
    request.chunk = number_;
    request.step = step();
    if (slot.push_reply) {
      Refuse(request, std::exchange(slot.push_reply, nullptr), status);
    }
    if (slot.held_back.has_value()) {
      Refuse(request, std::exchange(slot.held_back, std::nullopt)->reply,
             status);
    }
  }
}

void Chunk::AnswerStep() {
  std::vector<ReplyCallback> replies;
  replies.reserve(slots_.size());
  for (Slot& slot : slots_) {
    replies.push_back(std::exchange(slot.push_reply, nullptr));
    slot.given = false;
  }
  const uint64_t now = step();
  auto answer = [replies = std::move(replies), parameters = current_, now,
                 number = number_] {
    for (const ReplyCallback& reply : replies) {
      reply(ParametersReply(v1::PUSH, number, now, parameters));
    }
  };
  if (IsCheckpointStep(static_cast<int64_t>(now),
                       context_->checkpoint_every_steps,
                       context_->total_steps)) {
    context_->snapshots->WhenThereIsRoom(static_cast<int64_t>(now),
                                         std::move(answer));
  } else {
    answer();
  }
  AnswerPulls();
}

void Chunk::TakeSnapshot() {
  ChunkSnapshot snapshot;
  snapshot.range = range_;
  snapshot.parameters = current_;
  snapshot.updates = updates_;
  for (const tensor::FloatBuffer& buffer : state_) {
    tensor::FloatBuffer copy(buffer.size());
    std::copy(buffer.span().begin(), buffer.span().end(), copy.data());
    snapshot.state.push_back(std::move(copy));
  }
  context_->snapshots->Add(static_cast<int64_t>(step()), std::move(snapshot));
}

void Chunk::AnswerPulls() {
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.pull_reply || slot.pull_step > StepOf(i)) continue;
    const ReplyCallback reply = std::exchange(slot.pull_reply, nullptr);
    absl::StatusOr<ParameterRef> parameters = ParametersAt(slot.pull_step);
    if (parameters.ok()) {
      reply(ParametersReply(v1::PULL, number_, slot.pull_step,
                            *std::move(parameters)));
    } else {
      tensor::ChunkRequest request;
      request.kind = v1::PULL;
      request.chunk = number_;
      request.step = slot.pull_step;
      Refuse(request, reply, parameters.status());
    }
  }
}

void Chunk::Refuse(const tensor::ChunkRequest& request,
                   const ReplyCallback& reply, const absl::Status& status) {
  stats_->requests_refused.fetch_add(1, std::memory_order_relaxed);
  reply(ErrorReply(request, status));
}

absl::StatusOr<ParameterRef> Chunk::ParametersAt(uint64_t step) const {
  // Without bsp there is no "after so many steps" of all.
  if (context_->sync != v1::StrategySpec::BSP) return current_;
  const uint64_t now = this->step();
  if (step == now) return current_;
  if (step + 1 == now && previous_) return previous_;
  return absl::OutOfRangeError(absl::StrCat(
      "step: parameters after ", step, " steps are wanted, but ", Name(),
      " has those after ", now, previous_ ? " and the step before" : ""));
}

ParameterRef Chunk::FreeBuffer() {
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

absl::Status Chunk::Restore(const tensor::CheckpointReader& checkpoint) {
  current_ = FreeBuffer();
  TFD_RETURN_IF_ERROR(checkpoint.ReadParameters(range_, current_.BeginWrite()));
  current_.EndWrite();
  for (size_t i = 0; i < state_.size(); ++i) {
    TFD_RETURN_IF_ERROR(checkpoint.ReadState(
        context_->optimizer->state_names()[i], range_, state_[i].span()));
  }
  updates_ = checkpoint.updates();
  step_.store(checkpoint.manifest().step(), std::memory_order_release);
  for (Slot& slot : slots_) slot.step = step();
  initialised_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

std::string Chunk::Name() const { return absl::StrCat("chunk ", number_); }

}  // namespace tfd::ps
