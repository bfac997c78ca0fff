#include "ps/chunk.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "ps/upstream.h"
#include "tensor/accumulate.h"

namespace tfd::ps {
namespace {

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
  if (context_->pool->worker() != nullptr) {
    for (const int version : {0, 1}) {
      buffers_.push_back(
          ParameterRef::InWorker(context_->pool, version, range));
    }
  }
  if (context_->upstream != nullptr) {
    current_ = UpstreamParameters();
    step_.store(context_->upstream->step(), std::memory_order_release);
    initialised_.store(true, std::memory_order_release);
    return;
  }
  for (size_t i = 0; i < context_->optimizer->state_names().size(); ++i) {
    state_.push_back(tensor::FloatBuffer::Zeros(range.elements()));
  }
}

void Chunk::Deliver(tensor::ReceivedRequest request, ReplyCallback reply) {
  Deliver(Item{std::move(request), std::move(reply)});
}

void Chunk::DeliverUpstream(const absl::Status& status) {
  Deliver(Item{{}, nullptr, status});
}

void Chunk::Deliver(Item arrived) {
  std::vector<Item> items;
  {
    absl::MutexLock lock(&mutex_);
    inbox_.push_back(std::move(arrived));
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
  if (item.upstream.has_value()) return TakeUpstream(*item.upstream);
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
    const PoolBlock& block = current_.BeginWrite();
    tensor::CopyFloats(request.payload.spans(), block.floats);
    Narrow(block, 0, block.floats.size());
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
  if (context_->deterministic || context_->upstream != nullptr ||
      request.payload.in_place() || sends_buffers) {
    slot.held = std::move(request);
  } else {
    Sum(slot.weight, request);
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
  slot.held = std::move(request);
  if (slot.weight > 0) {
    const absl::Status updated = Update(slot.step, slot.weight);
    if (!updated.ok()) return Break(updated);
  }
  slot.weight = 0;
  slot.held = {};
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
  const auto total = static_cast<uint64_t>(context_->total_steps->load());
  if (every == 0) return total;
  return std::min(total, (step() / every + 1) * every);
}

void Chunk::CompleteStep() {
  if (context_->upstream != nullptr) return GiveUpstream();
  double total_weight = total_weight_;
  for (const Slot& slot : slots_) total_weight += slot.weight;
  if (total_weight > 0) {
    const absl::Status updated = Update(step(), total_weight);
    if (!updated.ok()) return Break(updated);
  } else {
    KeepParameters();
  }
  EndStep();
}

void Chunk::EndStep() {
  for (Slot& slot : slots_) slot.held = {};
  step_.fetch_add(1, std::memory_order_release);
  total_weight_ = 0;
  given_ = 0;
  const bool checkpoint = IsCheckpoint();
  AnswerStep();
  // After the answers, so that the copies are not waited for; before any push
  // of the next step, since this thread owns the chunk.
  if (checkpoint) TakeSnapshot();
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
  if (IsCheckpoint()) {
    context_->snapshots->WhenThereIsRoom(static_cast<int64_t>(now),
                                         std::move(answer));
  } else {
    answer();
  }
  AnswerPulls();
}

bool Chunk::IsCheckpoint() const {
  return context_->upstream == nullptr &&
         IsCheckpointStep(static_cast<int64_t>(step()),
                          context_->checkpoint_every_steps,
                          context_->total_steps->load());
}

void Chunk::TakeSnapshot() {
  ChunkSnapshot snapshot;
  snapshot.range = range_;
  snapshot.parameters = current_;
  if (in_worker()) {
    // The worker does not wait for the disk.
    snapshot.parameters =
        ParameterRef::Allocate(context_->pool, range_.elements());
    std::copy(current_.span().begin(), current_.span().end(),
              snapshot.parameters.BeginWrite().floats.begin());
    snapshot.parameters.EndWrite();
  }
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

absl::Status Chunk::Restore(const tensor::CheckpointReader& checkpoint) {
  current_ = FreeBuffer();
  const PoolBlock& block = current_.BeginWrite();
  TFD_RETURN_IF_ERROR(checkpoint.ReadParameters(range_, block.floats));
  Narrow(block, 0, block.floats.size());
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
